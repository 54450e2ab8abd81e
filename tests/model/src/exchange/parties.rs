/// Who there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// An enclave of an allowed image.
    A,
    /// Another enclave of the same image.
    B,
    /// The proxy of the first deployment.
    P,
    /// An honest proxy of the second deployment.
    Q,
    /// The attacker: the network, any machine, and an enclave of an image that is not allowed.
    M,
}

/// A TLS key pair, named for who made it. Its holder uses it for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Party);

/// An installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Deployment {
    /// The one whose proxy is [`Party::P`].
    First,
    /// Another.
    Second,
}

/// What an end of a connection is there for, as its owner understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// An enclave attests to the proxy that its manifest names for this deployment.
    Attest(Deployment),
    /// An enclave opens a connection to a peer. It wants this one.
    Initiate(Party),
    /// An enclave accepts a connection of a peer.
    Respond,
    /// An enclave shows evidence on its ingress port to whoever asks (docs/ingress.md): a nonce, the key, and a binder
    /// with a label of its own that names this connection and nothing else.
    Show,
    /// A proxy admits enclaves.
    Admit,
    /// Nothing good.
    Attack,
}

/// One end of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    /// Who is there.
    pub party: Party,
    /// The key it proved in the handshake.
    pub key: Key,
    /// What for.
    pub purpose: Purpose,
}

/// A TLS connection: ideal, so that each end knows the other's key, nobody else reads or writes, and no other
/// connection has its exporter. The network may drop and delay what goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Connection {
    /// Who opened it.
    pub client: End,
    /// Who accepted it.
    pub server: End,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The one that opened it.
    Client,
    /// The one that accepted it.
    Server,
}

/// An end of the connection with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Which connection.
    pub connection: usize,
    /// Which end of it.
    pub side: Side,
}

impl Purpose {
    /// The role (or label) in the binder of documents made for this purpose; `None` for whoever makes none.
    pub fn role(self) -> Option<&'static str> {
        match self {
            Self::Attest(_) => Some("enclave"),
            Self::Initiate(_) => Some("initiator"),
            Self::Respond => Some("responder"),
            Self::Show => Some("ingress"),
            Self::Admit | Self::Attack => None,
        }
    }

    /// The role that this purpose wants to see in documents; `None` for whoever asks for none.
    pub fn expects(self) -> Option<&'static str> {
        match self {
            Self::Admit => Some("enclave"),
            Self::Initiate(_) => Some("responder"),
            Self::Respond => Some("initiator"),
            Self::Attest(_) | Self::Show | Self::Attack => None,
        }
    }
}

impl End {
    /// The attacker holds it.
    pub fn is_attacker(&self) -> bool {
        self.party == Party::M
    }
}

impl Connection {
    /// One end.
    pub fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}

impl Place {
    /// Both ends of a connection.
    pub fn both(connection: usize) -> [Self; 2] {
        [Side::Client, Side::Server].map(|side| Self { connection, side })
    }

    /// The other end of the same connection.
    pub fn other(self) -> Self {
        let side = match self.side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Self { side, ..self }
    }
}
