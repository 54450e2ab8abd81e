use std::path::PathBuf;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream, UnixStream},
    select,
    sync::watch,
};

/// A way to the server over which connections are lost, as a network loses them.
pub(super) struct Relay {
    /// The database's URL by this way.
    pub(super) url: String,
    /// Each connection keeps to what is said here after it was opened.
    say: watch::Sender<Fate>,
}

#[derive(Clone, Copy)]
enum Fate {
    Forward,
    /// Both ends stay open, and no byte moves any more.
    Silence,
    /// The proxy's end is closed; the server hears nothing of it.
    HangUp,
}

impl Relay {
    /// A way to the database of this URL, which is on a UNIX socket.
    pub(super) async fn to(url: &str) -> Self {
        let (place, query) = url.split_once('?').unwrap();
        let name = place.rsplit('/').next().unwrap();
        let directory = query.split('&').find_map(|field| field.strip_prefix("host=")).unwrap();
        let socket = PathBuf::from(directory).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let say = watch::Sender::new(Fate::Forward);
        let told = say.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = UnixStream::connect(&socket).await.unwrap();
                tokio::spawn(carry(near, far, told.subscribe()));
            }
        });
        Self { url: format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable"), say }
    }

    /// Every connection that is open falls silent; new ones are as good as before.
    pub(super) fn silence(&self) {
        self.say.send_replace(Fate::Silence);
    }

    /// Every connection that is open is closed on the proxy's side only.
    pub(super) fn hang_up(&self) {
        self.say.send_replace(Fate::HangUp);
    }
}

/// Until one end is closed. What was said before the connection was opened is not for it.
async fn carry(near: TcpStream, far: UnixStream, mut say: watch::Receiver<Fate>) {
    let (mut near_reads, mut near_writes) = near.into_split();
    let (mut far_reads, mut far_writes) = far.into_split();
    let there = async {
        let _ = copy(&mut near_reads, &mut far_writes).await;
    };
    let back = async {
        let _ = copy(&mut far_reads, &mut near_writes).await;
    };
    select! {
        () = there => return,
        () = back => return,
        Ok(()) = say.changed() => {}
    }
    let fate = *say.borrow();
    if let Fate::HangUp = fate {
        drop((near_reads, near_writes));
        // The server may go on: its answers are taken, and nobody hears them.
        let mut unheard = Vec::new();
        let _ = far_reads.read_to_end(&mut unheard).await;
        let _ = far_writes.shutdown().await;
        return;
    }
    std::future::pending().await
}
