//! What a document says, and what differs.

use base64::{Engine, engine::general_purpose::STANDARD};
use countersign_simulator::{AttestationRequest, Module, SimulatedRoot, SoftwareNsm};
use http::StatusCode;
use serde_json::{Value, json};

use super::rig::{Call, Rig};
use crate::store::UnixMs;

fn document(root: &SimulatedRoot, module: Module) -> String {
    let nsm = SoftwareNsm::new(root, module);
    STANDARD.encode(nsm.attest(UnixMs::now().as_millis(), &AttestationRequest::default()).unwrap())
}

async fn explain(rig: &Rig, token: &str, document: &str) -> Value {
    let reply = rig.call(Call::post("/v1/explain").with(token).json(&json!({ "document": document }))).await;
    reply.expect(StatusCode::OK).body
}

/// The workload `payments`, whose `v1` is the image of this name.
async fn rig(name: &str, image: &str) -> (Rig, String) {
    let rig = Rig::start(name).await;
    let admin = rig.admin().await;
    let body = json!({ "name": "payments", "destinations": [] });
    rig.call(Call::post("/v1/workloads").with(&admin).json(&body)).await.expect(StatusCode::CREATED);
    let pcrs: Value = serde_json::from_str(&Module::from_image(image).pcr_json()).unwrap();
    let described = if pcrs["Measurements"].is_null() { json!({ "Measurements": pcrs }) } else { pcrs };
    let body = json!({ "name": "v1", "pcrs": described });
    rig.call(Call::post("/v1/workloads/payments/measurements").with(&admin).json(&body))
        .await
        .expect(StatusCode::CREATED);
    rig.enforce().await;
    (rig, admin)
}

#[tokio::test]
async fn a_document_is_explained() {
    let (rig, admin) = rig("explain", "payments-v1").await;
    let told = explain(&rig, &admin, &document(&rig.root, Module::from_image("payments-v1"))).await;
    assert_eq!(
        (&told["verification"]["verdict"], &told["admitted"], &told["words"]),
        (&json!("holds"), &json!(true), &json!("matches payments/v1"))
    );
    assert_eq!(told["matches"], json!([{ "workload": "payments", "measurement": "v1" }]));

    let told = explain(&rig, &admin, &document(&rig.root, Module::from_image("payments-v2"))).await;
    assert_eq!((&told["admitted"], &told["nearest"]["measurement"]), (&json!(false), &json!("v1")));
    let first = &told["nearest"]["differences"][0];
    assert_eq!(
        (&first["pcr"], &first["of"], &first["actual"]),
        (&json!(0), &json!("the enclave image"), &told["document"]["pcrs"]["0"])
    );
    assert_ne!(first["expected"], first["actual"]);

    let told = explain(&rig, &admin, &document(&rig.root, Module::from_image("payments-v1").debug())).await;
    assert_eq!((&told["document"]["debug_mode"], &told["admitted"]), (&json!(true), &json!(false)));
    assert!(told["words"].as_str().unwrap().contains("debug mode"));

    let stranger = SimulatedRoot::generate(UnixMs::now().as_millis()).unwrap();
    let told = explain(&rig, &admin, &document(&stranger, Module::from_image("payments-v1"))).await;
    assert_eq!(
        (&told["verification"]["verdict"], &told["verification"]["code"], &told["admitted"]),
        (&json!("refused"), &json!("untrusted-root"), &json!(false))
    );
    assert_eq!(told["matches"][0]["measurement"], "v1", "its PCRs are compared all the same");

    let told = explain(&rig, &admin, "hEA=").await;
    assert_eq!(
        (&told["document"], &told["verification"]["stage"], &told["words"]),
        (&Value::Null, &json!("syntax"), &json!("this is no attestation document"))
    );
}

#[tokio::test]
async fn a_revoked_set_is_told_and_whose_only_to_those_who_see_it() {
    let (rig, admin) = rig("explain-revoked", "payments-v1").await;
    let body = json!({ "workload": "payments", "measurement": "v1" });
    rig.call(Call::post("/v1/revocations").with(&admin).json(&body)).await.expect(StatusCode::CREATED);
    rig.enforce().await;
    let document = document(&rig.root, Module::from_image("payments-v1"));
    let told = explain(&rig, &admin, &document).await;
    assert_eq!((&told["revoked"], &told["admitted"]), (&json!("payments/v1"), &json!(false)));
    let other = rig.token("other", "viewer", "other").await;
    let told = explain(&rig, &other, &document).await;
    assert_eq!(
        (&told["revoked"], &told["nearest"]),
        (&json!("a measurement of another workload"), &Value::Null)
    );
    assert!(!told.to_string().contains("payments"), "{told}");
}
