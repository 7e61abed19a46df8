#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tracing_appender::non_blocking::NonBlockingBuilder;

use super::{LOG_REST, Resting};

/// Counts bytes and flushes.
#[derive(Clone, Default)]
struct Counting {
    bytes: Arc<AtomicU32>,
    flushes: Arc<AtomicU32>,
}

impl Write for Counting {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes.fetch_add(u32::try_from(buffer.len()).unwrap(), Relaxed);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes.fetch_add(1, Relaxed);
        Ok(())
    }
}

#[test]
fn lines_that_come_one_by_one_are_written_together_and_none_is_lost() {
    let counting = Counting::default();
    let began = Instant::now();
    let (mut writer, guard) = NonBlockingBuilder::default().finish(Resting(counting.clone()));
    for _ in 0..200 {
        writer.write_all(b"line\n").unwrap();
        thread::sleep(Duration::from_micros(200));
    }
    let flushes = counting.flushes.load(Relaxed);
    let rests = began.elapsed().div_duration_f64(LOG_REST);
    assert!(f64::from(flushes) <= rests + 2.0, "{flushes} flushes in {rests} rests");
    drop(guard);
    assert_eq!(counting.bytes.load(Relaxed), 1000);
}
