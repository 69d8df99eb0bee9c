//! Whatever is written and read, in whatever order: each byte reaches each reader once, in its place, or is part of a
//! gap that the reader is told.

use proptest::prelude::*;

use super::*;
use crate::process::source::Offsets;

/// What happens to an output.
#[derive(Clone, Debug)]
enum Step {
    /// The process writes that much, if it need not wait.
    Write(Source, usize),
    /// A reader takes that many items.
    Read(usize, usize),
    /// A reader goes, and comes back to go on where it was.
    Return(usize),
    /// The one that started the process goes for good.
    Leave,
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![Just(Source::Stdout), Just(Source::Stderr)];
    let length = prop_oneof![4 => 1..100_usize, 1 => 1..100_000_usize];
    prop_oneof![
        20 => (source, length).prop_map(|(source, length)| Step::Write(source, length)),
        10 => (0..3_usize, 1..40_usize).prop_map(|(reader, items)| Step::Read(reader, items)),
        2 => (1..3_usize).prop_map(Step::Return),
        1 => Just(Step::Leave),
    ]
}

/// A reader and how far it has come.
struct Seen {
    reader: Option<Reader>,
    at: Offsets,
    gaps: bool,
}

impl Seen {
    fn take(&mut self, written: &PerSource<Vec<u8>>) -> bool {
        let Some(item) = self.reader.as_mut().and_then(Reader::take) else {
            return false;
        };
        match item.expect("no fault") {
            Item::Data { source, offset, bytes } => {
                assert_eq!(offset, self.at[source]);
                let start = usize::try_from(offset).expect("small");
                assert_eq!(bytes, written[source][start..start + bytes.len()]);
                self.at[source] += bytes.len() as u64;
            }
            Item::Gap { source, from, to, .. } => {
                assert!(self.gaps && from == self.at[source] && from < to);
                self.at[source] = to;
            }
            Item::End(_) => return false,
        }
        true
    }
}

fn play(steps: Vec<Step>) {
    let output = Arc::new(Output::new(PerSource::default(), None, Arc::default()));
    let mut written: PerSource<Vec<u8>> = PerSource::default();
    let later = || output.follow(&PerSource::default(), true).ok();
    let mut readers = [
        Seen { reader: Some(output.start()), at: Offsets::default(), gaps: false },
        Seen { reader: later(), at: Offsets::default(), gaps: true },
        Seen { reader: later(), at: Offsets::default(), gaps: true },
    ];
    for step in steps {
        match step {
            Step::Write(source, length) if !output.lock().is_full(source) => {
                let start = written[source].len();
                written[source].extend((start..start + length).map(|number| u8::try_from(number % 251).unwrap_or(0)));
                output.push(source, &written[source][start..]);
            }
            Step::Write(..) => {}
            Step::Read(reader, items) => {
                let _all = (0..items).all(|_| readers[reader].take(&written));
            }
            Step::Return(reader) => {
                let at = readers[reader].at;
                readers[reader].reader = output.follow(&PerSource::build(|source| Some(at[source])), true).ok();
            }
            Step::Leave => readers[0].reader = None,
        }
    }
    output.finish(Last { end: Ok(EndEvent::default()), timed_out: false });
    for mut seen in readers {
        while seen.take(&written) {}
        if seen.reader.is_some() {
            Source::ALL.iter().for_each(|source| assert_eq!(seen.at[*source], written[*source].len() as u64));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_byte_is_lost_silently(steps in prop::collection::vec(step(), 0..200)) {
        play(steps);
    }
}
