//! SIGKILL at random moments under mixed load, and a check of the data after each start.

#[path = "kills/load.rs"]
mod load;
#[path = "kills/sweep.rs"]
mod sweep;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use larder_stress::{
    client::Client,
    scale,
    server::{Server, Setup},
    siege::turn,
};
use load::{Fate, Load};
use tempfile::TempDir;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// A start takes a tenth of a second; this allows for a busy machine.
const START: Duration = Duration::from_secs(1);
/// How many entries of earlier rounds are checked again in each round.
const SAMPLE: usize = 12;

/// The fate of each key, over all rounds.
type Fates = BTreeMap<String, Fate>;

fn seed() -> u64 {
    let given = std::env::var("LARDER_STRESS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..))
}

/// No acknowledged finalize is lost or has other bytes, and nothing is visible that was never
/// finalized. In the long form, because it takes ten minutes, a sweep leaves no orphans.
/// `LARDER_STRESS_SEED` repeats a run's choices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the seed, and the figures of the run")]
async fn kills_at_random_moments() {
    let _turn = turn().await;
    let rounds = scale::rounds(40, 500);
    let seed = seed();
    eprintln!("{rounds} kills, LARDER_STRESS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(Setup { data: Some(data.clone()), ..Setup::default() });
    let mut fates = Fates::new();
    let mut starts = Vec::new();
    for round in 0..rounds {
        let load = Load::begin(&server, round, random.fork(), &fates);
        tokio::time::sleep(Duration::from_millis(random.u64(20..500))).await;
        server.kill();
        let fresh = load.end().await;
        server.start_again();
        starts.push(server.started_in);
        check(&server, &fresh, "of this round").await;
        check(&server, &sample(&fates, &mut random), "of an earlier round").await;
        fates.extend(fresh);
    }
    check(&server, &fates, "at the end").await;
    assert!(server.stop().await.success(), "{}", server.log_tail());
    let kept = fates.values().filter(|fate| fate.is_acknowledged()).count();
    let slowest = starts.iter().max().copied().unwrap_or_default();
    let mean = starts.iter().sum::<Duration>() / u32::try_from(starts.len()).unwrap();
    eprintln!(
        "{rounds} kills: {} uploads begun, {kept} acknowledged; starts {} ms on average, {} ms at most",
        fates.len(),
        mean.as_millis(),
        slowest.as_millis(),
    );
    assert!(kept >= rounds, "the load saved only {kept} entries");
    assert!(mean < START, "a start took {mean:?} on average");
    if scale::is_long() {
        eprintln!("the sweep removed {} files", sweep::sweep(&data).await);
    }
}

fn sample(fates: &Fates, random: &mut fastrand::Rng) -> Fates {
    random
        .choose_multiple(fates.iter(), SAMPLE)
        .into_iter()
        .map(|(key, fate)| (key.clone(), fate.clone()))
        .collect()
}

/// Compares the data with the promises.
async fn check(server: &Server, fates: &Fates, when: &str) {
    let client = Client::new(server, load::REPOSITORY, RESPONSE_TIMEOUT);
    let begun = Instant::now();
    for (key, fate) in fates {
        let found = client.lookup(key, &[]).await.unwrap();
        match (&found, fate.is_acknowledged(), fate.may_be_there()) {
            (None, true, _) => panic!("{key} ({when}) is lost: {fate:?}\n{}", server.log_tail()),
            (Some(_), _, false) => panic!("{key} ({when}) is there and was never finalized: {fate:?}"),
            _ => {}
        }
        if let Some(hit) = found {
            let content = client.download(&hit.url).await.unwrap();
            assert!(content == fate.content(), "{key} ({when}) has other bytes: {fate:?}");
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(300), "the check of {} keys took too long", fates.len());
}
