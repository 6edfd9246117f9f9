use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const PATIENCE: Duration = Duration::from_secs(10);
/// More than the buffers of the system take.
const ANSWER: usize = 32 << 20;

async fn pair(control: Control) -> (Impatient<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asks = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (answers, _) = listener.accept().await.unwrap();
    (Impatient::new(answers, PATIENCE, control), asks)
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Impatient<S>) -> io::Result<()> {
    socket.write_all(&vec![7; ANSWER]).await?;
    socket.flush().await
}

/// Reads so much at a time, and then pauses.
async fn read(mut socket: impl AsyncRead + Unpin, at_once: usize, pause: Duration) {
    let mut bytes = vec![0; at_once];
    while socket.read_exact(&mut bytes).await.is_ok() {
        sleep(pause).await;
    }
}

// The clock is moved on when nobody has anything to do but wait, so no test here takes as long as
// it says.

#[tokio::test(start_paused = true)]
async fn whoever_reads_nothing_or_next_to_nothing_is_closed() {
    let nothing = PATIENCE.saturating_mul(1_000);
    let cases = [(1, nothing), (1, PATIENCE), (1_024, PATIENCE / 2)];
    for (at_once, pause) in cases {
        let (mut socket, asks) = pair(Control::default()).await;
        let reader = tokio::spawn(read(asks, at_once, pause));
        let begun = Instant::now();
        let error = timeout(PATIENCE * 100, answer(&mut socket)).await.expect("it waits for ever");
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut, "{at_once} bytes at once");
        assert!(begun.elapsed() < PATIENCE * 5, "{at_once}: {:?}", begun.elapsed());
        reader.abort();
    }
}

/// With a buffer so small that every byte shows.
#[tokio::test(start_paused = true)]
async fn as_much_as_is_asked_for_has_to_go_each_time() {
    for (at_once, enough) in [(1_024, false), (TAKEN_MIN / 2 - 1_024, false), (TAKEN_MIN, true)] {
        let (answers, asks) = duplex(1_024);
        let mut socket = Impatient::new(answers, PATIENCE, Control::default());
        let reader = tokio::spawn(read(asks, at_once, PATIENCE * 9 / 20));
        assert_eq!(answer(&mut socket).await.is_ok(), enough, "{at_once} bytes at once");
        reader.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_for_an_answer_begins_with_it() {
    let (answers, mut asks) = duplex(1_024);
    let mut socket = Impatient::new(answers, PATIENCE, Control::default());
    for _ in 0..3 {
        let answer = async {
            socket.write_all(&[7; 2_048]).await?;
            socket.flush().await
        };
        let read = async {
            // Not at once, so that the socket has to wait.
            sleep(PATIENCE * 9 / 10).await;
            asks.read_exact(&mut [0; 2_048]).await
        };
        tokio::try_join!(answer, read).expect("closed too early");
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_was_handed_over_is_as_patient_as_its_owner() {
    let control = Control::default();
    let (mut socket, _asks) = pair(control.clone()).await;
    control.release();
    assert!(timeout(PATIENCE * 100, answer(&mut socket)).await.is_err(), "its owner has the say");
}

#[tokio::test(start_paused = true)]
async fn after_a_refusal_it_reads_on_for_so_long_and_so_much() {
    /// Whether it was refused; what comes at once, and how often; whether the other side ends then.
    const CASES: [(bool, usize, u32, bool, Duration); 4] = [
        (false, 1_024, 1, false, Duration::ZERO),
        (true, 1_024, 4, true, Duration::from_millis(40)),
        (true, 1_024, 4, false, LINGER),
        (true, LINGER_BYTES, 4, false, Duration::from_millis(10)),
    ];
    for (refused, bytes, times, ends, takes) in CASES {
        let (served, mut asks) = duplex(8 << 10);
        let control = Control::default();
        let mut socket = Impatient::new(served, PATIENCE, control.clone());
        if refused {
            control.linger();
        }
        let asks = tokio::spawn(async move {
            let mut end = [0];
            assert_eq!(asks.read(&mut end).await.unwrap(), 0, "it is told first");
            for _ in 0..times {
                sleep(Duration::from_millis(10)).await;
                let _ = asks.write_all(&vec![7; bytes]).await;
            }
            if !ends {
                sleep(PATIENCE).await;
            }
        });
        let begun = Instant::now();
        timeout(PATIENCE, socket.shutdown()).await.expect("it lingers for ever").unwrap();
        assert_eq!(begun.elapsed(), takes, "refused: {refused}, {bytes} bytes");
        drop(socket);
        asks.await.unwrap();
    }
}
