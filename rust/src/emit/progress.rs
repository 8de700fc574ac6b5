//! The lines a person sees while a pack is made, as git words and paces them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::PackStats;
use crate::watch::{Phase, Standing, Watch};

/// A phase whose percentage does not change, or that has none, is shown this often.
const PACE: Duration = Duration::from_secs(1);

/// Turns the standing of the work into lines, leaving out what would only repeat.
pub(super) struct Progress {
    watch: Arc<Watch>,
    shown: Option<(Phase, u64)>,
    shown_at: Instant,
}

impl Progress {
    pub(super) fn new(watch: Arc<Watch>) -> Self {
        Self { watch, shown: None, shown_at: Instant::now() }
    }

    /// What is new since the last call; mostly nothing.
    pub(super) fn lines(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for standing in self.watch.take() {
            self.line(standing, &mut out);
        }
        out
    }

    fn line(&mut self, standing: Standing, out: &mut Vec<u8>) {
        let Standing { phase, done, total, finished } = standing;
        let percent = percent(done, total);
        if finished && done == 0 && total.unwrap_or(0) == 0 {
            // git is silent about what there was none of
            return;
        }
        if !finished {
            let same = self.shown.is_some_and(|shown| shown == (phase, percent));
            let counted = total.is_some() && !same;
            if done == 0 || !(counted || self.shown_at.elapsed() >= PACE) {
                return;
            }
        }
        let title = phase.title();
        let counter = match total {
            Some(total) => format!("{title}: {percent:3}% ({done}/{total})"),
            None => format!("{title}: {done}"),
        };
        let end = if finished { ", done.\n" } else { "\r" };
        out.extend_from_slice(counter.as_bytes());
        out.extend_from_slice(end.as_bytes());
        self.shown = Some((phase, percent));
        self.shown_at = Instant::now();
    }
}

fn percent(done: u64, total: Option<u64>) -> u64 {
    match total {
        None | Some(0) => 0,
        Some(total) => done.min(total).saturating_mul(100) / total,
    }
}

/// The last line.
pub(super) fn total_line(stats: &PackStats) -> String {
    let PackStats { objects, deltas, reused, reused_deltas, verbatim, .. } = stats;
    let packs = u32::from(*verbatim > 0);
    format!(
        "Total {objects} (delta {deltas}), reused {reused} (delta {reused_deltas}), \
         pack-reused {verbatim} (from {packs})\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_git() {
        let watch = Arc::new(Watch::new());
        let mut progress = Progress::new(Arc::clone(&watch));
        watch.begin(Phase::Enumerating, None);
        watch.add(9);
        assert!(progress.lines().is_empty(), "no second has passed");
        watch.begin(Phase::Counting, Some(9));
        watch.add(3);
        let text = String::from_utf8(progress.lines()).unwrap();
        assert_eq!(text, "Enumerating objects: 9, done.\nCounting objects:  33% (3/9)\r");
        assert!(progress.lines().is_empty(), "nothing changed");
        watch.add(6);
        assert_eq!(progress.lines(), b"Counting objects: 100% (9/9)\r");
        watch.end();
        assert_eq!(progress.lines(), b"Counting objects: 100% (9/9), done.\n");
        assert!(progress.lines().is_empty());
        progress.shown_at -= PACE;
        watch.begin(Phase::Enumerating, None);
        watch.add(2);
        assert_eq!(progress.lines(), b"Enumerating objects: 2\r");
    }

    #[test]
    fn the_total_line_is_that_of_git() {
        let stats = PackStats { objects: 9, deltas: 2, reused: 1, ..PackStats::default() };
        let line = "Total 9 (delta 2), reused 1 (delta 0), pack-reused 0 (from 0)\n";
        assert_eq!(total_line(&stats), line);
        let stats = PackStats { verbatim: 5, ..stats };
        let line = "Total 9 (delta 2), reused 1 (delta 0), pack-reused 5 (from 1)\n";
        assert_eq!(total_line(&stats), line);
    }
}
