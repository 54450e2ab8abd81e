//! An enclave attests to the proxies of two deployments.

use countersign_model::{
    Part::*,
    exchange::{
        Breach,
        Naming::{Challenge, Manifest},
        SecondDeployment::{Attackers, OwnKey, SharedKey},
        Setting,
    },
};

use crate::claims::{assert_attack, assert_holds, assert_leaves_open, assert_useless};

#[test]
fn with_everything_checked_nothing_is_reached() {
    for second in [OwnKey, Attackers] {
        for naming in [Challenge, Manifest] {
            assert_holds(
                &format!("deployments, {second:?}, {naming:?}"),
                &Setting::deployments(second, naming),
            );
        }
    }
}

/// One server key for two deployments: an enclave can be led to the wrong one. Whether it is admitted there depends on
/// whether it knows by itself which one it wants.
#[test]
fn a_shared_server_key_leads_astray() {
    let named = Setting::deployments(SharedKey, Manifest);
    assert_leaves_open("shared key, named by the manifest", &named, &[Breach::FalseProxy]);
    let unnamed = Setting::deployments(SharedKey, Challenge);
    let open = [Breach::OtherDeployment, Breach::FalseProxy];
    assert_leaves_open("shared key, named by the challenge", &unnamed, &open);
}

#[test]
fn without_the_deployment_an_enclave_is_admitted_where_it_was_led() {
    assert_attack(
        &Setting::deployments(SharedKey, Manifest),
        Breach::OtherDeployment,
        &[Deployment],
        &[
            "c1: A (attests) -> Q with P's key",
            "Q asks n1 on c1",
            "A answers n1 on c1: d1",
            "Q takes d1 for n1 on c1, unchecked: deployment",
        ],
    );
}

/// The operator of a second deployment relays what enclaves show him.
#[test]
fn relay_by_the_operator_of_another_deployment() {
    let removed = [PublicKey, AttesterKey, ServerKey, Exporter, Deployment];
    assert_attack(
        &Setting::deployments(Attackers, Manifest),
        Breach::Impostor,
        &removed,
        &[
            "c1: A (attests to the second deployment) -> M",
            "c2: M -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: public_key + SPKI(K) + SPKI(server) + exporter + deployment",
        ],
    );
}

/// The same where the challenge names the deployment: he names the first, and the binder's deployment stops nothing.
#[test]
fn a_deployment_that_the_challenge_names_stops_no_relay() {
    let removed = [PublicKey, AttesterKey, ServerKey, Exporter];
    assert_attack(
        &Setting::deployments(Attackers, Challenge),
        Breach::Impostor,
        &removed,
        &[
            "c1: A (attests to the second deployment) -> M",
            "c2: M -> P",
            "P asks n1 on c2",
            "A answers n1 on c1: d1",
            "P takes d1 for n1 on c2, unchecked: public_key + SPKI(K) + SPKI(server) + exporter",
        ],
    );
    for second in [OwnKey, SharedKey, Attackers] {
        assert_useless(&Setting::deployments(second, Challenge), Deployment);
    }
}
