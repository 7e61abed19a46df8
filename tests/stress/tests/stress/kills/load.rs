//! The load: saves of every kind, lookups and restores, until the server is gone.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use larder_stress::{
    client::{Client, content},
    server::Server,
};
use tokio::task::JoinSet;

use super::{Fates, RESPONSE_TIMEOUT};

pub(super) const REPOSITORY: &str = "5";
const SAVERS: usize = 5;
const READERS: usize = 3;
const MAX_BYTES: usize = 700 << 10;
const PIECE_BYTES: usize = 128 << 10;

/// What is known about a key.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    way: Way,
    seed: u64,
    size: usize,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    Begun,
    FinalizeSent,
    Acknowledged,
}

/// How content is sent.
#[derive(Clone, Copy, Debug)]
enum Way {
    Blob,
    Blocks,
    Chunks,
    Appends,
}

const WAYS: [Way; 4] = [Way::Blob, Way::Blocks, Way::Chunks, Way::Appends];

impl Fate {
    pub(super) fn is_acknowledged(&self) -> bool {
        self.progress == Progress::Acknowledged
    }

    pub(super) fn may_be_there(&self) -> bool {
        self.progress >= Progress::FinalizeSent
    }

    pub(super) fn content(&self) -> Bytes {
        content(self.seed, self.size)
    }
}

/// The load of one round.
pub(super) struct Load {
    tasks: JoinSet<()>,
    fates: Arc<Mutex<Fates>>,
}

impl Load {
    pub(super) fn begin(server: &Server, round: usize, mut random: fastrand::Rng, known: &Fates) -> Self {
        let fates = Arc::new(Mutex::new(Fates::new()));
        let mut tasks = JoinSet::new();
        for number in 0..SAVERS {
            let saver = Saver {
                client: Client::new(server, REPOSITORY, RESPONSE_TIMEOUT),
                name: format!("kill-{round}-{number}"),
                random: random.fork(),
                fates: fates.clone(),
            };
            tasks.spawn(saver.run());
        }
        let kept: Vec<_> = known.iter().filter(|(_, fate)| fate.is_acknowledged()).collect();
        let kept = random.choose_multiple(kept, 20);
        let kept: Arc<Vec<(String, Fate)>> =
            Arc::new(kept.into_iter().map(|(key, fate)| (key.clone(), fate.clone())).collect());
        for _ in 0..READERS {
            let client = Client::new(server, REPOSITORY, RESPONSE_TIMEOUT);
            tasks.spawn(read(client, kept.clone(), random.fork()));
        }
        Self { tasks, fates }
    }

    /// Waits until all clients have noticed that the server is gone. Returns what is known about
    /// their keys.
    pub(super) async fn end(mut self) -> Fates {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("what was read was right");
        }
        std::mem::take(&mut self.fates.lock().expect("nobody panicked with it"))
    }
}

struct Saver {
    client: Client,
    name: String,
    random: fastrand::Rng,
    fates: Arc<Mutex<Fates>>,
}

impl Saver {
    async fn run(mut self) {
        for number in 0.. {
            let key = format!("{}-{number}", self.name);
            let fate = Fate {
                way: self.random.choice(WAYS).expect("one of them"),
                seed: self.random.u64(..),
                size: self.random.usize(1..MAX_BYTES),
                progress: Progress::Begun,
            };
            self.note(&key, &fate, Progress::Begun);
            if self.save(&key, &fate).await.is_err() {
                return;
            }
            self.note(&key, &fate, Progress::Acknowledged);
        }
    }

    fn note(&self, key: &str, fate: &Fate, progress: Progress) {
        let fate = Fate { progress, ..fate.clone() };
        self.fates.lock().expect("nobody panicked with it").insert(key.to_owned(), fate);
    }

    async fn save(&self, key: &str, fate: &Fate) -> anyhow::Result<()> {
        let (client, content) = (&self.client, fate.content());
        let pieces: Vec<Bytes> = (0..fate.size)
            .step_by(PIECE_BYTES)
            .map(|at| content.slice(at..fate.size.min(at + PIECE_BYTES)))
            .collect();
        if let Way::Chunks = fate.way {
            let id = client.reserve(key).await?;
            for (number, piece) in pieces.into_iter().enumerate() {
                client.patch(id, number * PIECE_BYTES, piece).await?;
            }
            self.note(key, fate, Progress::FinalizeSent);
            return client.commit(id, fate.size).await;
        }
        let url = client.create(key).await?;
        match fate.way {
            Way::Blob | Way::Chunks => client.put(&url, content).await?,
            Way::Appends => client.append(&url, &pieces).await?,
            Way::Blocks => {
                let count = pieces.len();
                for (number, piece) in pieces.into_iter().enumerate().rev() {
                    client.put_block(&url, number, piece).await?;
                }
                client.put_list(&url, count).await?;
            }
        }
        self.note(key, fate, Progress::FinalizeSent);
        client.finalize(key, fate.size).await
    }
}

/// Restores entries of earlier rounds. Every response must be complete and right.
async fn read(client: Client, kept: Arc<Vec<(String, Fate)>>, mut random: fastrand::Rng) {
    while let Some((key, fate)) = random.choice(kept.iter()) {
        let Ok(found) = client.lookup(key, &[]).await else { return };
        let hit = found.unwrap_or_else(|| panic!("{key} is not found under load"));
        let Ok(restored) = client.download(&hit.url).await else { return };
        assert!(restored == fate.content(), "{key} has other bytes under load");
    }
}
