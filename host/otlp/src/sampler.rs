//! Which requests are traced.

use crate::context::Parent;

/// The bits of a trace's number that are random in each form of it (W3C Trace Context, level 2): the last 56.
const RANDOM_BITS: u32 = 56;

/// Which requests are traced: one of the samplers that the standard names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the client's decision counts, where it says one.
    is_parent_based: bool,
    /// A trace is sampled if its random bits are a number below this one.
    below: u64,
}

impl Sampler {
    /// The names, for an error.
    pub const NAMES: &str = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off \
                             or parentbased_traceidratio";

    /// No request is traced.
    pub const NONE: Self = Self { is_parent_based: false, below: 0 };

    /// Returns the sampler with this name of `OTEL_TRACES_SAMPLER`. `ratio` counts for those that take one.
    #[must_use]
    pub fn named(name: &str, ratio: f64) -> Option<Self> {
        let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio,
            _ => return None,
        };
        let all = 1_u64 << RANDOM_BITS;
        // A share between 0 and 1 of a number below 2^53 is exact enough.
        let below = (ratio.clamp(0.0, 1.0) * all as f64) as u64;
        Some(Self { is_parent_based, below })
    }

    /// Decides about a request. Two servers with one ratio decide alike about one trace.
    pub(crate) fn samples(self, parent: Option<&Parent>, trace_id: &[u8; 16]) -> bool {
        if let Some(parent) = parent.filter(|_| self.is_parent_based) {
            return parent.is_sampled;
        }
        let [.., a, b, c, d, e, f, g] = *trace_id;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.below
    }
}

#[cfg(test)]
mod tests;
