#![expect(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::Sampler;
use crate::context::Parent;

fn samples(name: &str, ratio: f64, parent: Option<bool>, trace_id: [u8; 16]) -> bool {
    let parent = parent.map(|is_sampled| Parent { trace_id, span_id: [1; 8], is_sampled });
    Sampler::named(name, ratio).unwrap().samples(parent.as_ref(), &trace_id)
}

#[test]
fn each_sampler_decides_as_the_standard_says() {
    let id = [0xff; 16];
    for (name, without, unsampled, sampled) in [
        ("always_on", true, true, true),
        ("always_off", false, false, false),
        ("traceidratio", false, false, false),
        ("parentbased_always_on", true, false, true),
        ("parentbased_always_off", false, false, true),
        ("parentbased_traceidratio", false, false, true),
    ] {
        let decided = [None, Some(false), Some(true)].map(|parent| samples(name, 0.5, parent, id));
        assert_eq!(decided, [without, unsampled, sampled], "{name}");
    }
    assert_eq!(Sampler::named("jaeger_remote", 1.0), None);
}

#[test]
fn a_ratio_takes_its_share_of_the_numbers_of_requests() {
    let ids: Vec<[u8; 16]> = (0..20_000).map(|_| Uuid::new_v4().into_bytes()).collect();
    let share = |ratio| ids.iter().filter(|id| samples("traceidratio", ratio, None, **id)).count();
    assert_eq!((share(0.0), share(1.0)), (0, 20_000));
    // Ten times the standard deviation, which is 61.
    assert!((4400..5600).contains(&share(0.25)), "{}", share(0.25));
}
