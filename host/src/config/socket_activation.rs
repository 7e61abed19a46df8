//! The listening sockets that a supervisor has opened for this process (systemd's socket
//! activation).

use std::{io, net::TcpListener, os::unix::net::UnixListener};

use listenfd::ListenFd;

/// A listener that outlives this process: a supervisor's, or an embedding program's.
#[derive(Debug)]
pub enum InheritedListener {
    /// On an address and a port.
    Tcp(TcpListener),
    /// On a Unix socket, whose file is not this process's to remove.
    Unix(UnixListener),
}

impl From<TcpListener> for InheritedListener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for InheritedListener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Takes the sockets that `LISTEN_FDS` and `LISTEN_PID` announce, in their order; none where there
/// are none. They outlive this process, so clients that connect while the server restarts wait
/// instead of being refused. Must be called before threads are started, because the variables are
/// removed, so that no child takes the sockets for its own.
///
/// # Errors
/// `InvalidInput` when a passed socket is neither a TCP nor a Unix listener.
pub fn inherited_listeners() -> io::Result<Vec<InheritedListener>> {
    let mut given = ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..given.len() {
        // A socket of another kind is still there after the error.
        let tcp = given.take_tcp_listener(at);
        let listener = match tcp {
            Ok(listener) => listener.map(InheritedListener::Tcp),
            Err(_) => given.take_unix_listener(at)?.map(InheritedListener::Unix),
        };
        listeners.extend(listener);
    }
    Ok(listeners)
}
