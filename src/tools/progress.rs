//! A bar on a terminal that shows how far reading is; nothing where nobody looks.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that is taken away when it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar with these words before it. It is hidden where the standard error is no terminal.
    pub(super) fn new(doing: &'static str) -> Self {
        let bar = ProgressBar::new(0).with_message(doing);
        let template = "{msg} {wide_bar} {bytes} of {total_bytes}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Shows so many bytes of all.
    pub(super) fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
