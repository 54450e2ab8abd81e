use std::sync::Arc;

use countersign_protocol::{
    Binder, Deployment, LeaseBounds, Nonce, ProblemCode, Role,
    message::{Attest, Challenge, Grant},
};
use countersign_telemetry::{Kind, TraceContext, Tracer};
use countersign_verifier::{
    Evidence, Expectations, Expected, Freshness, UnixMillis, UnverifiedDocument, Verifier,
};
use tokio::time::Instant;

use super::{
    connection::{Connection, NoNonce},
    finish::Unfinished,
    gate::Gate,
    instance_rate::InstanceRate,
    judgement::{answers, appraise, lease, might_pass},
    told::{Asked, Told, step},
};
use crate::{
    ca::{ClientKey, SessionCa},
    config::DocumentWindow,
    log::Chain,
    policy::{Policy, PolicyHandle},
    refusal::Refused,
    replica::{Elsewhere, ReplicaId},
    session::{Admission, EndReason, Granted, Instance, Renewal, Sessions},
    store::{Journal, SessionRow, UnixMs},
    telemetry::{AttestationMetrics, Decision},
};

/// Decides who is given a session. One for all connections.
pub struct Admitter {
    pub(super) parts: AdmitterParts,
    pub(super) told: Told,
    gate: Gate,
    rate: InstanceRate,
}

/// What an [`Admitter`] decides with.
pub struct AdmitterParts {
    /// The installation, part of the binder.
    pub deployment: Deployment,
    /// SPKI of the certificate this port shows, part of the binder.
    pub server_spki: Vec<u8>,
    /// Lease bounds said with a challenge.
    pub lease_bounds: LeaseBounds,
    /// How far a document's time may lie from ours.
    pub window: DocumentWindow,
    /// Knows the root, and certificates seen before.
    pub verifier: Verifier,
    /// Who may pass.
    pub policy: PolicyHandle,
    /// Who has.
    pub sessions: Sessions,
    /// Who has at another replica.
    pub elsewhere: Elsewhere,
    /// Which replica this is.
    pub replica: ReplicaId,
    /// Issues certificates.
    pub ca: Arc<SessionCa>,
    /// Takes audit rows.
    pub journal: Journal,
    /// Documents of one EC2 instance that are looked at in a minute.
    pub attestations_per_instance: u32,
    /// Threads that serve connections.
    pub workers: usize,
    /// Counts what is decided.
    pub metrics: AttestationMetrics,
    /// Follows it.
    pub tracer: Tracer,
}

impl Admitter {
    /// Puts the parts together.
    pub fn new(parts: AdmitterParts) -> Self {
        let gate = Gate::new(parts.workers);
        let rate = InstanceRate::new(parts.attestations_per_instance);
        Self { parts, told: Told::new(), gate, rate }
    }

    #[cfg(test)]
    pub(super) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// A new nonce for this connection.
    pub(super) fn challenge(&self, connection: &Connection) -> Result<Challenge, Refused> {
        connection.key.as_ref().ok_or_else(no_client_key)?;
        let mut bytes = [0; Nonce::LEN];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
            Refused::because(ProblemCode::Internal, "try again", "the system gives no random bytes")
        })?;
        let nonce = Nonce::from_bytes(bytes);
        connection.challenge(nonce);
        let AdmitterParts { deployment, lease_bounds, policy, .. } = &self.parts;
        Ok(Challenge {
            nonce,
            deployment: deployment.clone(),
            epoch: policy.epoch(),
            lease_bounds: *lease_bounds,
        })
    }

    /// The checks, in order, cheap ones first; then the session, its
    /// certificate and its audit row. Logs the decision. `parent` is whatever the
    /// client says that it is part of.
    pub(super) async fn attest(
        &self,
        connection: &Connection,
        body: &[u8],
        request_id: &str,
        parent: Option<&TraceContext>,
    ) -> Result<Grant, Refused> {
        // Before anything else: a failed answer burns the nonce too.
        let began = Instant::now();
        let nonce = connection.take_nonce();
        let span = self.parts.tracer.span("POST /v1/attest", Kind::Server, parent);
        let request = Asked { id: request_id, span };
        let decided = self.decide(connection, nonce, body, &request).await;
        let decision = match &decided {
            Ok(admitted) => {
                self.log_admission(connection, admitted, &request);
                match admitted.renewed {
                    Renewal::New => Decision::Admitted,
                    Renewal::Renewed => Decision::Renewed,
                }
            }
            Err(refused) => {
                self.log_refusal(connection, refused, &request);
                Decision::Refused(refused.code())
            }
        };
        self.parts.metrics.decided(decision, began.elapsed());
        request.ended(&decided);
        decided.map(|admitted| admitted.grant)
    }

    async fn decide(
        &self,
        connection: &Connection,
        nonce: Result<Nonce, NoNonce>,
        body: &[u8],
        request: &Asked<'_>,
    ) -> Result<Admitted, Refused> {
        let key = connection.key.as_ref().ok_or_else(no_client_key)?;
        let attest =
            Attest::decode(body).map_err(|error| Refused::new(ProblemCode::BadRequest, error.to_string()))?;
        let document = UnverifiedDocument::parse(attest.document)?;
        let nonce = nonce.map_err(no_nonce)?;
        if self.parts.policy.is_stale() {
            return Err(Refused::new(
                ProblemCode::Stale,
                "the proxy has not seen its store lately: try again",
            ));
        }
        let binder = self.binder(connection, key, &nonce, &attest)?;
        let now = UnixMs::now();
        let expectations = Expectations {
            at: UnixMillis::from_millis(now.as_millis()),
            freshness: Freshness::Within { past: self.parts.window.past, future: self.parts.window.future },
            nonce: Expected::Exactly(nonce.as_bytes()),
            public_key: Expected::Exactly(key.spki()),
            user_data: Expected::Exactly(&binder),
        };
        let policy = self.parts.policy.current();
        if let Err(refused) = might_pass(&policy, &document) {
            // A stranger. When nonce, key and binder are right it is worth a row;
            // otherwise the verifier tells what is wrong before any signature.
            if answers(&document, &expectations) {
                self.note(&policy, &refused, now, request.id);
                return Err(refused);
            }
        }
        let evidence = self.verify(connection, &document, &expectations, request).await?;
        match self.admit(connection, &policy, &evidence, &attest, key, now, request).await {
            Err(refused) => {
                self.note(&policy, &refused, now, request.id);
                Err(refused)
            }
            admitted => admitted,
        }
    }

    fn binder(
        &self,
        connection: &Connection,
        key: &ClientKey,
        nonce: &Nonce,
        attest: &Attest<'_>,
    ) -> Result<[u8; countersign_protocol::BINDER_LEN], Refused> {
        let exporter = connection
            .tls
            .export(nonce)
            .map_err(|error| Refused::because(ProblemCode::Internal, "connect again", Chain(&error)))?;
        let binder = Binder {
            role: Role::Enclave,
            attester_spki: key.spki(),
            server_spki: &self.parts.server_spki,
            exporter: &exporter,
            deployment: &self.parts.deployment,
            boot_id: attest.boot_id,
            sequence: attest.sequence,
        };
        Ok(binder.digest())
    }

    async fn verify<'a>(
        &self,
        connection: &Connection,
        document: &UnverifiedDocument<'a>,
        expectations: &Expectations<'_>,
        request: &Asked<'_>,
    ) -> Result<Evidence<'a>, Refused> {
        let span = request.span.child(&self.parts.tracer, "verify", Kind::Internal);
        let renews = connection.session().is_some_and(|id| self.parts.sessions.find(&id).is_some());
        let _turn = if renews { None } else { Some(self.gate.turn().await?) };
        let verified = self.parts.verifier.verify(document, expectations).map_err(Refused::from);
        step(span, &verified);
        verified
    }

    #[allow(clippy::too_many_arguments)]
    async fn admit(
        &self,
        connection: &Connection,
        policy: &Arc<Policy>,
        evidence: &Evidence<'_>,
        attest: &Attest<'_>,
        key: &ClientKey,
        now: UnixMs,
        request: &Asked<'_>,
    ) -> Result<Admitted, Refused> {
        let instance = Instance::of_module(evidence.module_id());
        self.rate.take(&instance, Instant::now())?;
        let admitting = appraise(policy, evidence)?;
        let lease = lease(admitting.workload.lease_bounds, attest.lease, evidence.not_after(), now)?;
        let admission = Admission {
            workload: Arc::clone(&admitting.workload),
            measurement: Arc::clone(&admitting.name),
            key: key.thumbprint(),
            boot_id: attest.boot_id,
            sequence: attest.sequence,
            lease,
            epoch: policy.epoch,
            instance: Some(instance),
        };
        self.catch_up(connection, key).await?;
        let Granted { session, renewed, .. } = self
            .parts
            .sessions
            .admit(admission, Instant::now())
            .map_err(|error| Refused::new(error.code(), error.to_string()))?;
        let id = session.id();
        let row = SessionRow {
            id,
            key: key.thumbprint(),
            workload: admitting.workload.name.to_string(),
            measurement: admitting.name.to_string(),
            boot_id: attest.boot_id,
            sequence: attest.sequence,
            lease,
            lease_ends: UnixMs(now.0.saturating_add_unsigned(lease.duration().as_millis() as u64)),
            epoch: policy.epoch,
            module_id: Some(evidence.module_id().to_owned()),
            replica: Some(self.parts.replica.to_bytes()),
            admitted: now,
        };
        let finished =
            self.finish(policy, evidence, attest.document, admitting, key, row, renewed, request).await;
        let certificates = match finished {
            Ok(certificates) => certificates,
            Err(Unfinished { refused, over }) => {
                // A session that was renewed keeps the lease it has now, at most one
                // more: it was admitted by a row that stands. A new one never was.
                let over = match renewed {
                    Renewal::New => Some(EndReason::NotRecorded),
                    Renewal::Renewed => over,
                };
                if let Some(reason) = over {
                    self.parts.sessions.end(&id, reason);
                }
                return Err(refused);
            }
        };
        connection.admitted(id, lease);
        Ok(Admitted {
            workload: admitting.workload.name.to_string(),
            measurement: Arc::clone(&admitting.name),
            renewed,
            grant: Grant { session: id, lease, epoch: policy.epoch, certificates },
        })
    }

    /// Brings in what other replicas know of this key, so that its session, its boot and
    /// its sequence number go on from there. A connection that renews what it was given
    /// on this connection asks nobody.
    async fn catch_up(&self, connection: &Connection, key: &ClientKey) -> Result<(), Refused> {
        let Elsewhere::Replicas(neighbours) = &self.parts.elsewhere else { return Ok(()) };
        if connection.session().is_some_and(|id| self.parts.sessions.find(&id).is_some()) {
            return Ok(());
        }
        let refreshed = neighbours.refresh(key.thumbprint()).await;
        refreshed.map_err(|error| {
            let detail = "the proxy could not ask its store about this key: try again";
            Refused::because(ProblemCode::Stale, detail, Chain(&error))
        })
    }
}

/// What an enclave is given.
pub(super) struct Admitted {
    pub(super) grant: Grant,
    pub(super) workload: String,
    pub(super) measurement: Arc<str>,
    pub(super) renewed: Renewal,
}

pub(super) fn no_client_key() -> Refused {
    Refused::new(
        ProblemCode::NoClientKey,
        "connect with a self-signed client certificate over a P-256 key made in the enclave",
    )
}

fn no_nonce(reason: NoNonce) -> Refused {
    match reason {
        NoNonce::NeverAskedOrUsed => Refused::new(
            ProblemCode::NoChallenge,
            "no challenge stands on this connection: ask for one, and answer it once",
        ),
        NoNonce::Expired => {
            Refused::new(ProblemCode::ChallengeExpired, "the challenge is older than 10 s: ask for another")
        }
    }
}
