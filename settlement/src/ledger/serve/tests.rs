use super::*;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn sockets_that_say_nothing_or_never_end_a_request_keep_nobody_out() {
    let routes = Router::new()
        .route("/", get(async || "here"))
        .route("/", post(async |body: String| body.len().to_string()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    // No time limit that could help them out.
    let bounds = Bounds { sockets: 4, head: PATIENCE.saturating_mul(100) };
    let server = tokio::spawn(serve(listener, routes, bounds, stopped, Duration::ZERO));
    let mut held = Vec::new();
    for round in 0..5 {
        for head in ["", "GET /", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1234"] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(head.as_bytes()).await.unwrap();
            held.push(socket);
        }
        let ask = async {
            let mut socket = TcpStream::connect(address).await.unwrap();
            let request = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            socket.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(PATIENCE, ask).await.expect("kept out");
        assert!(answer.ends_with("here"), "round {round}: {answer}");
    }
    // The first was thrown out long ago.
    let end = tokio::time::timeout(PATIENCE, held[0].read(&mut [0; 8])).await.expect("it stays");
    assert!(matches!(end, Ok(0) | Err(_)));
    server.abort();
}
