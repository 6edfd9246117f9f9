use super::*;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Nothing here takes so long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// What none of the tests reaches that does not say so.
const BOUNDS: Bounds =
    Bounds { sockets: 64, head: PATIENCE.saturating_mul(100), answers: usize::MAX };
/// More than the buffers of the system take.
const LARGE: usize = 16 << 20;

/// A server for the time of a test.
async fn start(routes: Router, bounds: Bounds) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let server = async move {
        serve(listener, routes, bounds, stopped, Duration::ZERO).await;
        drop(stop);
    };
    (address, tokio::spawn(server))
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// How many bytes come before the end, however it ends.
async fn rest(mut socket: TcpStream) -> usize {
    let (mut bytes, mut buf) = (0, vec![0; 64 << 10]);
    let all = async {
        while let Ok(read @ 1..) = socket.read(&mut buf).await {
            bytes += read;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("neither more nor an end");
    bytes
}

#[tokio::test]
async fn sockets_that_say_nothing_or_never_end_a_request_keep_nobody_out() {
    let routes = Router::new()
        .route("/", get(async || "here"))
        .route("/", post(async |body: String| body.len().to_string()));
    // No time limit that could help them out.
    let bounds = Bounds { sockets: 4, ..BOUNDS };
    let (address, server) = start(routes, bounds).await;
    let mut held = Vec::new();
    for round in 0..5 {
        for head in ["", "GET /", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1234"] {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(head.as_bytes()).await.unwrap();
            held.push(socket);
        }
        let ask = async {
            let mut socket = ask(address, "/").await;
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

/// Answers that come to this many bytes.
fn large(bytes: usize) -> Router {
    Router::new().route("/", get(async move || vec![7; bytes]))
}

#[tokio::test]
async fn answers_that_nobody_reads_make_room_for_those_that_are() {
    let bounds = Bounds { answers: 2 * LARGE, ..BOUNDS };
    let (address, server) = start(large(LARGE), bounds).await;
    let mut unread = Vec::new();
    for _ in 0..4 {
        let mut socket = ask(address, "/").await;
        // The answer has begun, so it is held.
        socket.read_exact(&mut [0; 64]).await.unwrap();
        unread.push(socket);
    }
    // What is read in time is whole, however often it is asked for.
    for _ in 0..8 {
        assert!(rest(ask(address, "/").await).await > LARGE);
    }
    let mut rests = Vec::new();
    for socket in unread {
        rests.push(rest(socket).await > LARGE - 64);
    }
    assert_eq!(
        rests,
        [false, false, false, true],
        "the longest goes first, and no more than have to"
    );
    server.abort();
}

#[tokio::test]
async fn small_answers_are_not_counted() {
    use axum::response::IntoResponse;
    for (bytes, counted) in [(0, 0), (answers::SMALL, 0), (answers::SMALL + 1, answers::SMALL + 1)]
    {
        let answers = Answers::new(LARGE);
        let answer = vec![7; bytes].into_response();
        let held = answers.hold(answer, &Arc::new(Notify::new())).await;
        assert_eq!(answers.bytes(), counted);
        drop(held);
    }
}

#[tokio::test]
async fn room_is_given_back_by_whoever_has_read_or_gone_away() {
    let shared = |answers: &Arc<Answers>| Shared {
        routes: large(LARGE),
        head: BOUNDS.head,
        answers: answers.clone(),
    };
    for reads in [true, false] {
        let answers = Answers::new(LARGE);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = ask(listener.local_addr().unwrap(), "/").await;
        let (served, _) = listener.accept().await.unwrap();
        let (_stop, stopped) = watch::channel(false);
        let served = tokio::spawn(connection(served, shared(&answers), stopped));
        let mut socket = socket;
        socket.read_exact(&mut [0; 64]).await.unwrap();
        assert_eq!(answers.bytes(), LARGE);
        if reads {
            assert!(rest(socket).await > LARGE - 64);
        } else {
            drop(socket);
        }
        let _ = tokio::time::timeout(PATIENCE, served).await.expect("it stays").unwrap();
        assert_eq!(answers.bytes(), 0, "reads: {reads}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_takes_nothing_of_its_answer_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _socket = ask(listener.local_addr().unwrap(), "/").await;
    let (served, _) = listener.accept().await.unwrap();
    // Nothing but the answer can be late.
    served.readable().await.unwrap();
    let (_stop, stopped) = watch::channel(false);
    let answers = Answers::new(usize::MAX);
    let shared = Shared { routes: large(LARGE), head: PATIENCE, answers: answers.clone() };
    let served = tokio::time::timeout(PATIENCE * 10, connection(served, shared, stopped)).await;
    let error = served.expect("it is held for ever").unwrap_err();
    let why = error.source().map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("does not read"), "{error}: {why}");
    assert_eq!(answers.bytes(), 0);
}

#[tokio::test]
async fn a_refusal_reaches_whoever_is_still_sending() {
    let routes = Router::new()
        .route("/", post(async |body: String| body))
        .layer(axum::extract::DefaultBodyLimit::max(1_024));
    let (address, server) = start(routes, BOUNDS).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1048576\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&[7; 512 << 10]).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_string(&mut answer));
    read.await.expect("no answer").expect("it was reset");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    server.abort();
}
