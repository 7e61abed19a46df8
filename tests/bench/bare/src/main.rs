//! A bare hyper server: reads each request's body, always sends the same bytes, and does nothing
//! else.
//!
//! The bench compares Larder's CPU per lookup with it. It is built like Larder: one single-threaded
//! runtime and one `SO_REUSEPORT` listener per core. Usage: `larder-bench-bare FILE`, where the file
//! has the body of the response. Prints its address and serves until it is killed.

use std::{
    convert::Infallible,
    env, fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::{runtime, task::LocalSet};

const BACKLOG: i32 = 1024;

fn main() -> Result<()> {
    let file = env::args_os().nth(1).context("usage: larder-bench-bare FILE")?;
    let answer = Bytes::from(fs::read(&file).with_context(|| format!("reading {}", file.display()))?);

    let first = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..thread::available_parallelism()?.get() {
        listeners.push(listen(address)?);
    }
    writeln!(io::stdout(), "listening on http://{address}")?;

    let threads: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let answer = answer.clone();
            thread::spawn(move || serve(listener, &answer))
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a server thread panicked")??;
    }
    Ok(())
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn serve(listener: TcpListener, answer: &Bytes) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request| respond(request, answer.clone()));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // A load generator closes its connections as it likes.
                let _ = connection.await;
            });
        }
    })
}

async fn respond(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    // The call's body is read to its end, as any handler of it has to.
    let _ = request.into_body().collect().await;
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}
