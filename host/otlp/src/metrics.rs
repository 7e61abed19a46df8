//! Metrics of the text format of Prometheus as those of OTLP: what a scrape reads is what is sent. Names, units and
//! labels stay as they are, so that dashboards do.

use std::{collections::BTreeMap, str::FromStr};

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
        metric::Data, number_data_point::Value,
    },
};

use crate::Attribute;

/// The bound of a bucket, among the labels.
const BOUND: &str = "le";

/// A line with a value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// A family, as its comments say, and the values that follow.
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    samples: Vec<Sample<'a>>,
}

/// When a count began, and when it was read, in nanoseconds since 1970.
#[derive(Clone, Copy)]
struct Times {
    started: u64,
    now: u64,
}

/// Returns the metrics of a text that [`larder`'s metrics](crate::Reporter::metrics) are in. A line that cannot be read
/// is left out.
pub(crate) fn converted(text: &str, started_ms: u64, now_ms: u64) -> Vec<Metric> {
    let times =
        Times { started: started_ms.saturating_mul(1_000_000), now: now_ms.saturating_mul(1_000_000) };
    families(text)
        .into_iter()
        .filter(|family| !family.samples.is_empty())
        .map(|family| family.metric(times))
        .collect()
}

fn families(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut help = ("", "");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let text = if help.0 == name { help.1 } else { "" };
            families.push(Family { name, help: text, kind, samples: Vec::new() });
        } else if let (Some(family), Some(sample)) = (families.last_mut(), Sample::parse(line)) {
            family.samples.push(sample);
        }
    }
    families
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = f64::from_str(rest.split_whitespace().next()?).ok()?;
        Some(Self { name, labels, value })
    }

    fn attributes(&self) -> Vec<KeyValue> {
        let labels = self.labels.iter().filter(|(name, _)| *name != BOUND);
        labels.map(|(name, value)| Attribute::text(name, value.as_str()).0).collect()
    }
}

/// Reads labels up to the brace behind them; returns what follows, too.
fn labels(mut rest: &str) -> Option<(Vec<(&str, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), quoted.char_indices());
        rest = loop {
            match characters.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((name, value));
    }
}

impl Family<'_> {
    fn metric(&self, times: Times) -> Metric {
        let temporality = AggregationTemporality::Cumulative.into();
        let data = match self.kind {
            "counter" => Data::Sum(Sum {
                data_points: self.points(times.started, times.now),
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            "histogram" => Data::Histogram(Histogram {
                data_points: self.histograms(times),
                aggregation_temporality: temporality,
            }),
            _ => Data::Gauge(Gauge { data_points: self.points(0, times.now) }),
        };
        // A counter's line has the suffix that dashboards ask for; its comments may lack it.
        let name = match (self.kind, self.samples.first()) {
            ("histogram", _) | (_, None) => self.name,
            (_, Some(sample)) => sample.name,
        };
        Metric {
            name: name.to_owned(),
            description: self.help.to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    }

    fn points(&self, started: u64, now: u64) -> Vec<NumberDataPoint> {
        let point = |sample: &Sample<'_>| NumberDataPoint {
            attributes: sample.attributes(),
            start_time_unix_nano: started,
            time_unix_nano: now,
            value: Some(Value::AsDouble(sample.value)),
            ..NumberDataPoint::default()
        };
        self.samples.iter().map(point).collect()
    }

    /// The lines of each series, put together.
    fn histograms(&self, times: Times) -> Vec<HistogramDataPoint> {
        let mut series: BTreeMap<Vec<(&str, &str)>, HistogramDataPoint> = BTreeMap::new();
        for sample in &self.samples {
            let own = sample.labels.iter().filter(|(name, _)| *name != BOUND);
            let own = own.map(|(name, value)| (*name, value.as_str())).collect();
            let point = series.entry(own).or_insert_with(|| HistogramDataPoint {
                attributes: sample.attributes(),
                start_time_unix_nano: times.started,
                time_unix_nano: times.now,
                ..HistogramDataPoint::default()
            });
            match sample.name.strip_prefix(self.name) {
                Some("_sum") => point.sum = Some(sample.value),
                Some("_count") => point.count = count(sample.value),
                _ => point.add_bucket(sample),
            }
        }
        series.into_values().collect()
    }
}

/// Adds a bucket to a point, in the order of the bounds.
trait AddBucket {
    fn add_bucket(&mut self, sample: &Sample<'_>);
}

impl AddBucket for HistogramDataPoint {
    fn add_bucket(&mut self, sample: &Sample<'_>) {
        let bound = sample.labels.iter().find(|(name, _)| *name == BOUND);
        let Some(bound) = bound.and_then(|(_, text)| f64::from_str(text).ok()) else { return };
        // Those of Prometheus have all below the bound, those of OTLP what is between two.
        let before: u64 = self.bucket_counts.iter().sum();
        self.bucket_counts.push(count(sample.value).saturating_sub(before));
        if bound.is_finite() {
            self.explicit_bounds.push(bound);
        }
    }
}

/// A count, which is a whole number.
fn count(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests;
