#![expect(clippy::unwrap_used, reason = "tests")]

use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};

use super::converted;

const TEXT: &str = r#"# HELP larder_requests_total Requests
# TYPE larder_requests_total counter
larder_requests_total{code="200",key="a \"b\", \\ c\n}"} 17
larder_requests_total{code="404"} 2
# HELP larder_seconds Time
# TYPE larder_seconds histogram
larder_seconds_sum{route="x"} 1.5
larder_seconds_count{route="x"} 6
larder_seconds_bucket{le="0.1",route="x"} 1
larder_seconds_bucket{le="1.0",route="x"} 4
larder_seconds_bucket{le="+Inf",route="x"} 6
# HELP larder_free Free
# TYPE larder_free gauge
larder_free 1e3
# HELP larder_none None
# TYPE larder_none gauge
"#;

#[test]
fn each_kind_of_metric_is_converted_with_its_labels() {
    let metrics = converted(TEXT, 1, 2);
    let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["larder_requests_total", "larder_seconds", "larder_free"]);
    assert_eq!(metrics[0].description, "Requests");

    let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000, 2_000_000));
    assert_eq!(point.value, Some(Value::AsDouble(17.0)));
    let key = point.attributes.iter().find(|attribute| attribute.key == "key").unwrap();
    assert!(format!("{:?}", key.value).contains(r#"a \"b\", \\ c\n}"#), "{key:?}");

    let Some(Data::Histogram(histogram)) = &metrics[1].data else { panic!("{metrics:?}") };
    let [point] = histogram.data_points.as_slice() else { panic!("{histogram:?}") };
    assert_eq!(
        (point.explicit_bounds.as_slice(), point.bucket_counts.as_slice()),
        ([0.1, 1.0].as_slice(), [1, 3, 2].as_slice())
    );
    assert_eq!((point.sum, point.count, point.attributes.len()), (Some(1.5), 6, 1));

    let Some(Data::Gauge(gauge)) = &metrics[2].data else { panic!("{metrics:?}") };
    assert_eq!(gauge.data_points[0].value, Some(Value::AsDouble(1000.0)));
}
