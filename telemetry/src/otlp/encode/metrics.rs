use std::time::SystemTime;

use super::{
    super::messages::{
        Data, Gauge, Histogram, HistogramPoint, KeyValue, Metric, NumberKind, NumberPoint, Sum,
    },
    attribute, nanos,
};
use crate::metrics::{self, Distribution, Figure, Labels, Number, Points};

/// As it stands at `now`, counted since `began`.
pub(in crate::otlp) fn metric(metric: metrics::Metric, began: SystemTime, now: SystemTime) -> Metric {
    let span = (nanos(began), nanos(now));
    let data = match metric.points {
        Points::Counter(numbers) => Data::Sum(Sum {
            data_points: numbers.into_iter().map(|number| number_point(number, span)).collect(),
            temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        // A gauge is of now, and began at no time.
        Points::Gauge(numbers) => Data::Gauge(Gauge {
            data_points: numbers.into_iter().map(|number| number_point(number, (0, span.1))).collect(),
        }),
        Points::Histogram(distributions) => Data::Histogram(Histogram {
            data_points: distributions.into_iter().map(|one| histogram_point(one, span)).collect(),
            temporality: CUMULATIVE,
        }),
    };
    Metric {
        name: metric.name,
        description: metric.description,
        unit: metric.unit.to_owned(),
        data: Some(data),
    }
}

/// How many points it has.
pub(in crate::otlp) fn points(metric: &metrics::Metric) -> usize {
    match &metric.points {
        Points::Counter(numbers) | Points::Gauge(numbers) => numbers.len(),
        Points::Histogram(distributions) => distributions.len(),
    }
}

fn number_point(number: Number, (began, now): (u64, u64)) -> NumberPoint {
    NumberPoint {
        start_time_unix_nano: began,
        time_unix_nano: now,
        value: Some(match number.value {
            Figure::Int(value) => NumberKind::Int(value),
            Figure::Double(value) => NumberKind::Double(value),
        }),
        attributes: attributes(number.labels),
    }
}

fn histogram_point(distribution: Distribution, (began, now): (u64, u64)) -> HistogramPoint {
    HistogramPoint {
        start_time_unix_nano: began,
        time_unix_nano: now,
        count: distribution.counts.iter().sum(),
        sum: Some(distribution.sum),
        bucket_counts: distribution.counts,
        explicit_bounds: distribution.bounds,
        attributes: attributes(distribution.labels),
    }
}

fn attributes(labels: Labels) -> Vec<KeyValue> {
    labels.into_iter().map(|(key, value)| attribute(key, value.into())).collect()
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: i32 = 2;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry_proto::tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        metrics::v1::{AggregationTemporality, metric::Data, number_data_point::Value},
    };
    use prost::Message;

    use super::{
        super::{super::settings::Resource, read, request},
        *,
    };

    #[test]
    fn figures_are_read_by_others_as_they_were_meant() {
        let labels = vec![("direction".to_owned(), "up".to_owned())];
        let of = |name: &str, unit, points| metrics::Metric {
            name: name.to_owned(),
            description: "What.".to_owned(),
            unit,
            points,
        };
        let number = |value| vec![Number { labels: labels.clone(), value }];
        let distribution =
            Distribution { labels: labels.clone(), sum: 1.5, bounds: vec![0.1, 1.0], counts: vec![3, 0, 2] };
        let all = [
            of("bytes", "By", Points::Counter(number(Figure::Int(7)))),
            of("age", "s", Points::Gauge(number(Figure::Double(-0.5)))),
            of("took", "s", Points::Histogram(vec![distribution])),
        ];
        assert_eq!(all.iter().map(points).sum::<usize>(), 3);
        let at = |nanos| UNIX_EPOCH + Duration::from_nanos(nanos);
        let sent =
            request(&Resource::new("s", "1"), all.into_iter().map(|one| metric(one, at(5), at(9))).collect());

        let read = ExportMetricsServiceRequest::decode(sent).unwrap();
        let [bytes, age, took] = read.resource_metrics[0].scope_metrics[0].metrics.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(
            (bytes.name.as_str(), bytes.description.as_str(), bytes.unit.as_str()),
            ("bytes", "What.", "By")
        );
        let Some(Data::Sum(sum)) = &bytes.data else { panic!("{bytes:?}") };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let [point] = sum.data_points.as_slice() else { panic!("{sum:?}") };
        assert_eq!(point.value, Some(Value::AsInt(7)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (5, 9));
        assert_eq!(read::attributes(&point.attributes), [("direction", read::text("up"))]);

        let Some(Data::Gauge(gauge)) = &age.data else { panic!("{age:?}") };
        assert_eq!(gauge.data_points[0].value, Some(Value::AsDouble(-0.5)));

        let Some(Data::Histogram(histogram)) = &took.data else { panic!("{took:?}") };
        assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (5, Some(1.5)));
        assert_eq!(point.bucket_counts, [3, 0, 2]);
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
    }
}
