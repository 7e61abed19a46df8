//! The listening socket that a supervisor has opened for this process (systemd's socket
//! activation).

use std::{io, net::TcpListener};

use listenfd::ListenFd;

/// Takes the socket that `LISTEN_FDS` and `LISTEN_PID` announce; nothing where none is. It outlives
/// this process, so clients that connect while the server restarts wait instead of being refused.
/// Must be called before threads are started, because the variables are removed, so that no child
/// takes the socket for its own.
///
/// # Errors
/// `InvalidInput` when the passed socket is not a TCP listener, or there are several.
pub fn inherited_listener() -> io::Result<Option<TcpListener>> {
    let mut given = ListenFd::from_env();
    if given.len() > 1 {
        let many = format!("{} sockets are passed (LISTEN_FDS); this server takes one", given.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, many));
    }
    given.take_tcp_listener(0)
}
