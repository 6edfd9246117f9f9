//! What a process asked of the kernel, in order, read from the output of
//! `strace -f -tt -y -xx -o FILE`.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use super::child::Child;
use super::{PATIENCE, eventually};

/// The system calls that write to files and sockets and that make files durable.
const TRACED: &str = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fdatasync,fsync";

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// What the descriptor in its first argument is: a path, or `socket:[…]`.
    pub target: String,
    /// All bytes that it wrote, one buffer after the other.
    pub data: Vec<u8>,
    /// What it returned; `None` when the trace ends before it did.
    pub result: Option<i64>,
    /// The line on which it began.
    pub begun: usize,
    /// The line on which it returned.
    pub ended: usize,
}

impl Call {
    /// Whether it wrote these bytes, as they are or in a WebSocket frame of a client's, which are
    /// masked.
    pub fn wrote(&self, needle: &[u8]) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|at| at == needle);
        holds(&self.data) || self.to_socket() && unmasked(&self.data).iter().any(|it| holds(it))
    }

    /// Whether it was to a socket.
    pub fn to_socket(&self) -> bool {
        self.target.starts_with("socket:") || self.target.starts_with("TCP")
    }

    fn syncs(&self) -> bool {
        self.name == "fdatasync" || self.name == "fsync"
    }
}

/// Each sync takes a hundredth of a second longer: on a fast disk it might be over by the time that
/// another thread writes what did not wait for it, and the trace would show no fault.
const SLOW_DISK: &str = "inject=fdatasync,fsync:delay_enter=10000";

/// Starts a program with `strace` writing every write and fsync of it to a file, on a disk that is
/// slow to sync. The program is the direct child, so that its end is the trace's end and a signal
/// reaches it.
///
/// # Panics
/// When there is no `strace`, or the program can't be started.
pub fn start(name: &str, program: &Path, args: &[&str], trace: &Path) -> Child {
    require();
    let (program, trace) = (program.display().to_string(), trace.display().to_string());
    let options = [
        "-D", "-f", "-tt", "-y", "-xx", "-s", "1000000", "-e", TRACED, "-e", SLOW_DISK, "-o",
        &trace,
    ];
    let line = [&options, [program.as_str()].as_slice(), args].concat();
    Child::start(name, Path::new("strace"), &line)
}

/// Reads a trace, again and again until it has come as far as is wanted: it is written behind the
/// calls.
///
/// # Panics
/// When it does not come so far.
pub fn read_until(trace: &Path, what: &str, far: impl Fn(&[Call]) -> bool) -> Vec<Call> {
    eventually(what, PATIENCE, || {
        let calls = parse(&std::fs::read_to_string(trace).unwrap_or_default());
        far(&calls).then_some(calls)
    })
}

/// The payloads of the binary frames of a WebSocket client that begin and end in these bytes.
fn unmasked(data: &[u8]) -> Vec<Vec<u8>> {
    let frame = |at: usize| {
        let (&[first, second], rest) = data[at..].split_first_chunk()?;
        if first != 0x82 || second & 0x80 == 0 {
            return None;
        }
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::try_from(u64::from_be_bytes(*length)).ok()?, rest)
            }
            short => (usize::from(short), rest),
        };
        let (mask, rest) = rest.split_first_chunk::<4>()?;
        let payload = rest.get(..length)?;
        Some(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
    };
    (0..data.len()).filter_map(frame).collect()
}

/// Makes sure that there is an `strace`.
///
/// # Panics
/// When there is none, with what to do.
fn require() {
    let found = Command::new("strace").arg("-V").output();
    let works = found.is_ok_and(|output| output.status.success());
    assert!(works, "this test watches system calls: install strace (apt-get install strace)");
}

/// Reads a trace.
pub fn parse(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((_time, rest)) = rest.trim_start().split_once(' ') else { continue };
        if rest.starts_with("<... ") {
            let Some(begun) = unfinished.remove(thread) else { continue };
            calls[begun].result = result_of(rest);
            calls[begun].ended = number;
            // A buffer may be printed when the call returns instead of when it begins.
            let data = quoted(rest);
            calls[begun].data.extend(data);
            continue;
        }
        let Some(call) = begun(rest, number) else { continue };
        if rest.ends_with("<unfinished ...>") {
            unfinished.insert(thread, calls.len());
        }
        calls.push(call);
    }
    calls
}

fn begun(rest: &str, number: usize) -> Option<Call> {
    let (name, arguments) = rest.split_once('(')?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let target = arguments.split_once('<').and_then(|(_, rest)| rest.split('>').next());
    let finished = !rest.ends_with("<unfinished ...>");
    Some(Call {
        name: name.to_owned(),
        target: target.map(readable).unwrap_or_default(),
        data: quoted(arguments),
        result: if finished { result_of(rest) } else { None },
        begun: number,
        ended: if finished { number } else { usize::MAX },
    })
}

fn result_of(rest: &str) -> Option<i64> {
    let (_, result) = rest.rsplit_once(" = ")?;
    result.split([' ', '<']).next()?.parse().ok()
}

/// Some versions of strace write paths in `\x41\x42` as well.
fn readable(target: &str) -> String {
    if target.starts_with("\\x") {
        String::from_utf8_lossy(&unhex(target)).into_owned()
    } else {
        target.to_owned()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.replace("\\x", "")).unwrap_or_default()
}

/// The bytes in all quotes, written as `\x41\x42`.
fn quoted(text: &str) -> Vec<u8> {
    let strings = text.split('"').skip(1).step_by(2);
    strings.flat_map(unhex).collect()
}

/// Checks that what was written to a socket was durable first: some write to a journal that holds
/// `record` had returned before an fdatasync of the same file began, which had returned 0 before
/// the first write to a socket that holds `sent` began.
///
/// # Errors
/// Which of the three is missing.
pub fn durable_before_sent(calls: &[Call], record: &[u8], sent: &[u8]) -> Result<(), String> {
    let out = calls.iter().find(|call| call.to_socket() && call.wrote(sent));
    let out = out.ok_or("it was never written to a socket")?;
    let journal = |call: &&Call| call.target.ends_with(".seg") && call.wrote(record);
    let written: Vec<&Call> =
        calls.iter().filter(journal).filter(|call| call.ended < out.begun).collect();
    if written.is_empty() {
        return Err("no journal write of it had returned before the socket write".to_owned());
    }
    let synced = written.iter().any(|write| {
        calls.iter().any(|call| {
            call.syncs()
                && call.target == write.target
                && call.result == Some(0)
                && write.ended < call.begun
                && call.ended < out.begun
        })
    });
    if synced { Ok(()) } else { Err("no fdatasync between journal and socket".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
10 16:20:01.000001 pwrite64(7</data/1.seg>, "\x01\x02\x03", 3, 64 <unfinished ...>
11 16:20:01.000002 write(9<socket:[5]>, "\xff", 1) = 1
10 16:20:01.000003 <... pwrite64 resumed>) = 3
10 16:20:01.000004 fdatasync(7<\x2f\x64\x61\x74\x61\x2f\x31\x2e\x73\x65\x67>) = 0
11 16:20:01.000005 writev(9<socket:[5]>, [{iov_base="\x82", iov_len=1}, {iov_base="\x02\x03", iov_len=2}], 2) = 3
"#;

    fn check(trace: &str) -> Result<(), String> {
        durable_before_sent(&parse(trace), &[1, 2], &[2, 3])
    }

    #[test]
    fn the_right_order_passes_and_calls_that_overlap_are_put_together() {
        assert_eq!(check(GOOD), Ok(()));
        let calls = parse(GOOD);
        assert_eq!(calls.len(), 4);
        assert_eq!((calls[0].result, calls[0].begun, calls[0].ended), (Some(3), 1, 3));
        assert_eq!(calls[3].data, [0x82, 2, 3]);
    }

    #[test]
    fn what_a_client_masks_is_read_too() {
        let trace =
            r#"7 1:00 sendto(3<socket:[5]>, "\x00\x82\x83\x01\x02\x03\x04\x0b\x0d\x0a", 10) = 10"#;
        let calls = parse(trace);
        assert!(calls[0].wrote(&[0x0a, 0x0f, 0x09]), "{calls:?}");
        assert!(!calls[0].wrote(&[0x0a, 0x0f, 0x0a]));
    }

    #[test]
    fn every_other_order_is_found_out() {
        let lines: Vec<&str> = GOOD.trim().lines().collect();
        let order = |order: &[usize]| order.iter().map(|at| lines[*at]).collect::<Vec<_>>();
        let wrong = [
            // The sync began while the write was still going on.
            order(&[0, 1, 3, 2, 4]),
            // The socket came before the sync.
            order(&[0, 1, 2, 4, 3]),
            // There was no sync.
            order(&[0, 1, 2, 4]),
        ];
        for trace in wrong {
            assert!(check(&trace.join("\n")).is_err(), "{trace:#?}");
        }
        for (from, to) in [("= 0", "= -1 EIO"), ("x31", "x32")] {
            assert!(check(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }
}
