use std::cell::RefCell;
use std::io::Read;
use std::task::Poll;

use futures_util::poll;

use super::*;

/// More than a pipe holds.
const MUCH: usize = 1 << 20;

/// Input of a process that is a pipe's other end, and the flag that says that it has ended.
fn piped() -> (Input, std::io::PipeReader, Arc<Flag>) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    let exited = Arc::new(Flag::default());
    let stdin = Channel::writing(writer.into(), None).expect("channel");
    (Input::new(Some(stdin), None, Arc::clone(&exited)), reader, exited)
}

fn stdin(byte: u8, length: usize) -> Bytes {
    Bytes::Stdin(vec![byte; length])
}

fn kind(outcome: Poll<Outcome<()>>) -> Option<Kind> {
    match outcome {
        Poll::Ready(outcome) => Some(outcome.expect_err("a fault").kind),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn what_came_first_takes_effect_first() {
    let (input, mut reader, _running) = piped();
    let steps = RefCell::new(Vec::new());
    let step = |name: &'static str| {
        steps.borrow_mut().push(name);
        Ok(())
    };
    let (first, second, third) = (stdin(1, 1), stdin(2, 2), stdin(3, 3));
    let (one, two, three, signal) =
        tokio::join!(input.write(&first), input.write(&second), input.write(&third), input.in_turn(|| step("signal")),);
    (one.and(two).and(three).and(signal)).expect("done");
    let mut taken = [0; 6];
    reader.read_exact(&mut taken).expect("read");
    assert_eq!((taken, steps.into_inner()), ([1, 2, 2, 3, 3, 3], vec!["signal"]));
}

#[tokio::test]
async fn signals_go_past_writes_that_the_process_does_not_take() {
    let (input, mut reader, _running) = piped();
    let (much, little) = (stdin(1, MUCH), stdin(2, 1));
    let mut stuck = Box::pin(input.write(&much));
    let mut behind = Box::pin(input.write(&little));
    let mut close = Box::pin(input.close());
    assert!(poll!(&mut stuck).is_pending());
    assert!(poll!(&mut behind).is_pending());
    assert!(poll!(&mut close).is_pending());
    input.in_turn(|| Ok(())).await.expect("signal");

    let read = tokio::task::spawn_blocking(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("read");
        all
    });
    let (first, second, closed) = tokio::join!(stuck, behind, close);
    first.and(second).and(closed).expect("done");
    let all = read.await.expect("read");
    assert_eq!((all.len(), all[MUCH - 1], all[MUCH]), (MUCH + 1, 1, 2));
    assert_eq!(kind(poll!(Box::pin(input.write(&little)))), Some(Kind::FailedPrecondition));
    assert_eq!(kind(poll!(Box::pin(input.close()))), Some(Kind::FailedPrecondition));
}

#[tokio::test]
async fn a_write_that_is_given_up_lets_the_next_one_through() {
    let (input, mut reader, _running) = piped();
    let (much, little) = (stdin(1, MUCH), stdin(2, 1));
    let mut stuck = Box::pin(input.write(&much));
    assert!(poll!(&mut stuck).is_pending());
    drop(stuck);
    let mut next = Box::pin(input.write(&little));
    assert!(poll!(&mut next).is_pending());
    let read = tokio::task::spawn_blocking(move || {
        let mut byte = [0];
        let mut length = 0;
        while byte != [2] {
            reader.read_exact(&mut byte).expect("read");
            length += 1;
        }
        length
    });
    next.await.expect("written");
    assert!(read.await.expect("read") < MUCH);
}

#[tokio::test]
async fn writes_that_wait_when_the_process_ends_say_so() {
    let (input, _reader, running) = piped();
    let much = stdin(1, MUCH);
    let mut stuck = Box::pin(input.write(&much));
    let mut behind = Box::pin(input.write(&much));
    assert!(poll!(&mut stuck).is_pending() && poll!(&mut behind).is_pending());
    running.set();
    assert_eq!(kind(poll!(&mut stuck)), Some(Kind::NotFound));
    assert_eq!(kind(poll!(&mut behind)), Some(Kind::NotFound));
    assert_eq!(kind(poll!(Box::pin(input.close()))), Some(Kind::NotFound));
    let size = Size { cols: 1, rows: 1 };
    assert_eq!(kind(poll!(Box::pin(input.resize(size)))), Some(Kind::NotFound));
    drop((stuck, behind));
    input.release().await;
}

#[tokio::test]
async fn a_pipe_is_no_terminal() {
    let (input, _reader, _running) = piped();
    assert_eq!(kind(poll!(Box::pin(input.write(&Bytes::Pty(vec![1]))))), Some(Kind::FailedPrecondition));
    let size = Size { cols: 1, rows: 1 };
    assert_eq!(kind(poll!(Box::pin(input.resize(size)))), Some(Kind::FailedPrecondition));
}
