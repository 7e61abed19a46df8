use super::*;

#[test]
fn one_goes_through_in_each_pause() {
    let never_again = Throttle::new(Duration::MAX);
    assert_eq!([never_again.allows(), never_again.allows(), never_again.allows()], [true, false, false]);
    let always = Throttle::new(Duration::ZERO);
    assert!(always.allows() && always.allows());
}
