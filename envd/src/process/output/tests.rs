use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::poll;

use super::ring::RING_BYTES;
use super::state::{TAIL_BYTES, WINDOW_TURNS};
use super::*;
use crate::fault::Kind;
use crate::process::channel::CHUNK_BYTES;

const NOTHING: PerSource<Option<u64>> = PerSource([None; 3]);

fn output() -> Arc<Output> {
    Arc::new(Output::new(PerSource::default(), None, Arc::default()))
}

fn from(stdout: u64) -> PerSource<Option<u64>> {
    PerSource::build(|source| (source == Source::Stdout).then_some(stdout))
}

fn ended() -> Last {
    Last { end: Ok(EndEvent { exit_code: 7, ..EndEvent::default() }), timed_out: false }
}

fn data(source: Source, offset: u64, text: &str) -> Option<Outcome<Item>> {
    Some(Ok(Item::Data { source, offset, bytes: text.into() }))
}

/// Everything that there is: the bytes, and the first position of each piece.
fn drain(reader: &mut Reader) -> (Vec<u8>, Vec<u64>) {
    let (mut all, mut offsets) = (Vec::new(), Vec::new());
    while let Some(Ok(Item::Data { offset, bytes, .. })) = reader.take() {
        all.extend(bytes);
        offsets.push(offset);
    }
    (all, offsets)
}

fn kind(item: Option<Outcome<Item>>) -> Option<Kind> {
    item.and_then(Outcome::err).map(|fault| fault.kind)
}

#[test]
fn the_streams_are_merged_in_the_order_in_which_they_were_read() {
    let output = output();
    let mut reader = output.start();
    for (source, text) in [(Source::Stdout, "a"), (Source::Stdout, "b"), (Source::Stderr, "X"), (Source::Stdout, "c")] {
        output.push(source, text.as_bytes());
    }
    assert_eq!(reader.take(), data(Source::Stdout, 0, "ab"));
    assert_eq!(reader.take(), data(Source::Stderr, 0, "X"));
    assert_eq!(reader.take(), data(Source::Stdout, 2, "c"));
    assert_eq!(reader.take(), None);
    output.finish(ended());
    assert!(matches!(reader.take(), Some(Ok(Item::End(end))) if end.exit_code == 7));
}

#[tokio::test]
async fn the_process_waits_for_the_reader_that_started_it_until_that_is_gone() {
    let output = output();
    let mut reader = output.start();
    output.push(Source::Stdout, &[1; 256 << 10]);
    output.room(Source::Stderr).await;
    let mut full = Box::pin(output.room(Source::Stdout));
    assert!(poll!(&mut full).is_pending());
    assert!(reader.take().is_some());
    assert!(poll!(&mut full).is_ready());

    output.push(Source::Stdout, &[1; CHUNK_BYTES]);
    let mut full = Box::pin(output.room(Source::Stdout));
    assert!(poll!(&mut full).is_pending());
    drop(reader);
    full.await;
}

#[tokio::test]
async fn turns_of_the_streams_are_bounded_for_the_reader_that_started_it() {
    let output = output();
    let mut reader = output.start();
    for _ in 0..=WINDOW_TURNS {
        output.push(Source::Stdout, b"o");
        output.push(Source::Stderr, b"e");
    }
    assert!(poll!(&mut Box::pin(output.room(Source::Stdout))).is_pending());
    let (all, _) = drain(&mut reader);
    assert_eq!(all, "oe".repeat(WINDOW_TURNS + 1).as_bytes());
    output.room(Source::Stdout).await;
}

#[tokio::test]
async fn a_later_reader_begins_with_what_nobody_was_given_and_never_holds_up_the_process() {
    let output = output();
    let mut first = output.start();
    output.push(Source::Stdout, b"seen");
    assert_eq!(first.take(), data(Source::Stdout, 0, "seen"));
    output.push(Source::Stdout, b"unseen");
    drop(first);
    let mut later = output.follow(&NOTHING, false).expect("reader");
    assert_eq!(later.take(), data(Source::Stdout, 4, "unseen"));
    for _ in 0..100 {
        output.room(Source::Stdout).await;
        output.push(Source::Stdout, &[0; CHUNK_BYTES]);
    }
}

#[test]
fn a_later_reader_goes_on_from_a_position() {
    let output = output();
    output.push(Source::Stdout, b"abcdef");
    let mut reader = output.follow(&from(4), true).expect("reader");
    assert_eq!(reader.take(), data(Source::Stdout, 4, "ef"));
    assert!(output.follow(&from(6), true).is_ok());
    let fault = output.follow(&from(7), true).err().expect("beyond");
    assert_eq!(fault.kind, Kind::InvalidArgument);
    assert!(fault.message.starts_with("from.stdout: "), "{}", fault.message);
}

#[test]
fn who_falls_behind_is_told_what_is_missing() {
    let output = output();
    let mut told = output.follow(&NOTHING, true).expect("reader");
    let mut plain = output.follow(&NOTHING, false).expect("reader");
    output.push(Source::Stdout, b"1234567");
    output.push(Source::Stderr, b"e");
    for _ in 0..RING_BYTES / CHUNK_BYTES {
        output.push(Source::Stdout, &[0; CHUNK_BYTES]);
    }
    let gap = Item::Gap { source: Source::Stdout, from: 0, to: 7, reason: Lost::Overwritten };
    assert_eq!(told.take(), Some(Ok(gap)));
    assert_eq!(told.take(), data(Source::Stderr, 0, "e"));
    assert_eq!(drain(&mut told).0.len(), RING_BYTES);
    assert_eq!(kind(plain.take()), Some(Kind::DataLoss));

    // What was gone before it came is no loss to one that cannot be told.
    let output = self::output();
    output.push(Source::Stdout, &[0; RING_BYTES + 1]);
    let mut plain = output.follow(&NOTHING, false).expect("reader");
    assert_eq!(drain(&mut plain).1[0], 1);
}

#[test]
fn after_the_end_the_tail_and_the_end_are_there_for_everyone() {
    let output = output();
    let mut first = output.start();
    output.push(Source::Stdout, &[1; 200_000]);
    output.finish(ended());
    // What its reader has not read yet must still reach it.
    assert_eq!(drain(&mut first).0.len(), 200_000);
    assert!(matches!(first.take(), Some(Ok(Item::End(_)))));
    drop(first);
    assert_eq!(output.tail_bytes(), TAIL_BYTES);
    for _ in 0..2 {
        let mut late = output.follow(&from(0), true).expect("reader");
        let to = 200_000 - TAIL_BYTES as u64;
        let gap = Item::Gap { source: Source::Stdout, from: 0, to, reason: Lost::Overwritten };
        assert_eq!(late.take(), Some(Ok(gap)));
        assert_eq!(drain(&mut late).0.len(), TAIL_BYTES);
        let mut plain = output.follow(&NOTHING, false).expect("reader");
        assert!(matches!(plain.take(), Some(Ok(Item::End(_)))));
    }
    output.forget();
    assert_eq!(output.tail_bytes(), 0);
    let mut late = output.follow(&NOTHING, true).expect("reader");
    assert!(matches!(late.take(), Some(Ok(Item::End(_)))));
}

#[test]
fn only_the_reader_that_started_it_is_told_that_its_time_was_up() {
    let output = output();
    let mut first = output.start();
    let mut later = output.follow(&NOTHING, false).expect("reader");
    output.push(Source::Pty, b"x");
    output.finish(Last { timed_out: true, ..ended() });
    assert_eq!(first.take(), data(Source::Pty, 0, "x"));
    assert_eq!(kind(first.take()), Some(Kind::DeadlineExceeded));
    assert_eq!(later.take(), data(Source::Pty, 0, "x"));
    assert!(matches!(later.take(), Some(Ok(Item::End(_)))));
}

#[test]
fn what_a_dead_agent_had_read_is_a_gap_of_its_own() {
    #[derive(Default)]
    struct Steps(AtomicU64, AtomicU64);
    impl Progress for Steps {
        fn reads(&self, _: Source) {}

        fn moved(&self, source: Source, position: Position) {
            assert_eq!(source, Source::Stdout);
            self.0.store(position.read, Ordering::Relaxed);
            self.1.store(position.sent, Ordering::Relaxed);
        }
    }
    let steps = Arc::new(Steps::default());
    let mut positions: PerSource<Position> = PerSource::default();
    positions[Source::Stdout] = Position { read: 100, sent: 60 };
    let progress = Arc::clone(&steps) as Arc<dyn Progress>;
    let output = Arc::new(Output::new(positions, Some(progress), Arc::default()));
    output.push(Source::Stdout, b"new");
    assert_eq!((steps.0.load(Ordering::Relaxed), steps.1.load(Ordering::Relaxed)), (103, 60));
    let mut reader = output.follow(&NOTHING, true).expect("reader");
    let gap = Item::Gap { source: Source::Stdout, from: 60, to: 100, reason: Lost::AgentRestarted };
    assert_eq!(reader.take(), Some(Ok(gap)));
    assert_eq!(reader.take(), data(Source::Stdout, 100, "new"));
    assert_eq!(steps.1.load(Ordering::Relaxed), 103);
    let mut plain = output.follow(&NOTHING, false).expect("reader");
    assert_eq!(plain.take(), None);
}

#[tokio::test]
async fn when_memory_is_short_rings_are_small_and_the_reader_that_started_it_still_misses_nothing() {
    let budget = Arc::default();
    let output = || Arc::new(Output::new(PerSource::default(), None, Arc::clone(&budget)));
    let many: Vec<_> = (0..40).map(|_| output()).collect();
    let held = |output: &Arc<Output>| output.lock().rings[Source::Stdout].len();
    let followed = output();
    let mut reader = followed.start();
    followed.push(Source::Stdout, &[7; 200_000]);
    for output in &many {
        (0..64).for_each(|_| output.push(Source::Stdout, &[0; CHUNK_BYTES]));
    }
    assert_eq!((held(&many[0]), held(&many[39])), (RING_BYTES, 64 << 10));
    // This one is more than the small window ahead, and as much of it stays as has not been read.
    assert!(poll!(&mut Box::pin(followed.room(Source::Stdout))).is_pending());
    followed.push(Source::Stdout, &[7; CHUNK_BYTES]);
    assert_eq!(drain(&mut reader).0.len(), 200_000 + CHUNK_BYTES);

    drop(many);
    let again = output();
    (0..64).for_each(|_| again.push(Source::Stdout, &[0; CHUNK_BYTES]));
    assert_eq!(held(&again), RING_BYTES);
}
