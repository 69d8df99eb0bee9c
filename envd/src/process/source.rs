//! The output streams of a process and the positions in them.

/// One of the streams that a process writes. A process has the first two, or the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Stdout,
    Stderr,
    Pty,
}

impl Source {
    /// In the order of their index in [`PerSource`].
    pub const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Pty];

    /// As the fields of the wire are named.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Pty => "pty",
        }
    }
}

/// One value for each stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerSource<T>(pub [T; 3]);

impl<T> PerSource<T> {
    /// Asks for each value once, in the order of [`Source::ALL`].
    pub fn build(value: impl FnMut(Source) -> T) -> Self {
        Self(Source::ALL.map(value))
    }
}

impl<T> std::ops::Index<Source> for PerSource<T> {
    type Output = T;

    fn index(&self, source: Source) -> &T {
        &self.0[source as usize]
    }
}

impl<T> std::ops::IndexMut<Source> for PerSource<T> {
    fn index_mut(&mut self, source: Source) -> &mut T {
        &mut self.0[source as usize]
    }
}

/// Positions in bytes since the start of the process.
pub type Offsets = PerSource<u64>;
