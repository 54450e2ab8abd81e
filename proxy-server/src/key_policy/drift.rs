use super::{
    Fault, Finding, Known, OPERATIONS, Standing,
    bounds::Bounds,
    document::{Actions, KeyPolicy, Principals, Statement},
};

/// In what a key's policy differs from the measurements: first what is too wide, in the order of the statements, then
/// what is missing. Nothing: no drift.
///
/// `known` holds every measurement there is, those of other workloads and the revoked ones too, so that a finding can
/// say whose image it is.
pub fn drift(policy: &KeyPolicy, known: &[Known]) -> Vec<Finding> {
    let mut judge = Judge { known, found: Vec::new(), named: Vec::new() };
    for operation in OPERATIONS {
        judge.operation(policy, operation);
    }
    let order = |finding: &Finding| {
        let name = finding.statement.as_deref();
        policy.statements.iter().position(|statement| Some(statement.name.as_str()) == name)
    };
    let Judge { mut found, named, .. } = judge;
    found.sort_by_key(order);
    let active = known.iter().filter(|known| known.standing == Standing::Active);
    let missing = active.filter(|known| !named.contains(&known.name)).map(|known| Finding {
        statement: None,
        operations: OPERATIONS.to_vec(),
        fault: Fault::Missing { measurement: known.name.clone(), pcr0: pcr(known, 0).unwrap_or_default() },
    });
    found.extend(missing);
    found
}

struct Judge<'a> {
    known: &'a [Known],
    found: Vec<Finding>,
    /// Active measurements that some statement lets use the key.
    named: Vec<String>,
}

impl Judge<'_> {
    fn operation(&mut self, policy: &KeyPolicy, operation: &'static str) {
        let about: Vec<&Statement> =
            policy.statements.iter().filter(|statement| statement.covers(operation)).collect();
        // Nobody may, whatever allows it.
        if about.iter().any(|statement| statement.denies_everybody() && statement.conditions.is_empty()) {
            return;
        }
        let guards: Vec<Bounds> = about.iter().filter_map(|statement| Bounds::left_by(statement)).collect();
        for statement in about.into_iter().filter(|statement| statement.may_allow()) {
            self.allowed(statement, operation, &guards);
        }
    }

    fn allowed(&mut self, statement: &Statement, operation: &'static str, guards: &[Bounds]) {
        let mut faults = Vec::new();
        match statement.principals {
            Principals::Anybody | Principals::AnyOfAKind => faults.push(Fault::AnyPrincipal),
            Principals::AllBut => faults.push(Fault::NotPrincipal),
            Principals::Named => {}
        }
        if let Actions::AllBut(_) = statement.actions {
            faults.push(Fault::NotAction);
        }
        let mut bounds = Bounds::of(&statement.conditions);
        for guard in guards {
            bounds.narrow(guard);
        }
        let loose = std::mem::take(&mut bounds.loose);
        match bounds.pcrs.get(&0) {
            Some(images) => {
                for image in images {
                    self.image(image, &bounds, &mut faults);
                }
            }
            // What binds nothing is the reason, and is said instead.
            None if !loose.is_empty() => {}
            None if bounds.pcrs.is_empty() => faults.push(Fault::NoCondition),
            None => faults.push(Fault::AnyImage),
        }
        // Beside a condition that binds the image, a loose one does no harm.
        if !bounds.pcrs.contains_key(&0) {
            faults.extend(loose.into_iter().map(|(key, why)| Fault::LooseCondition { key, why }));
        }
        for fault in faults {
            self.note(statement, operation, fault);
        }
    }

    /// One PCR0 that a statement names.
    fn image(&mut self, image: &str, bounds: &Bounds, faults: &mut Vec<Fault>) {
        let of_image = |known: &&Known| pcr(known, 0).as_deref() == Some(image);
        let mut active = false;
        let mut whole = false;
        let mut open = Vec::new();
        for known in self.known.iter().filter(of_image).filter(|known| known.standing == Standing::Active) {
            active = true;
            if !admits(bounds, known) {
                continue;
            }
            if !self.named.contains(&known.name) {
                self.named.push(known.name.clone());
            }
            let pcrs = not_demanded(bounds, known);
            whole |= pcrs.is_empty();
            if !pcrs.is_empty() {
                open.push(Fault::OpenPcrs { measurement: known.name.clone(), pcrs });
            }
        }
        // A measurement of the same image that pins no more is as wide as the statement.
        if !whole {
            faults.extend(open);
        }
        if !active {
            // The worst thing that is known of it.
            let worst = self.known.iter().filter(of_image).max_by_key(|known| known.standing);
            let is = worst.map(|known| (known.name.clone(), known.standing));
            faults.push(Fault::NotActive { pcr0: image.to_owned(), is });
        }
    }

    fn note(&mut self, statement: &Statement, operation: &'static str, fault: Fault) {
        let same = |finding: &&mut Finding| {
            finding.statement.as_deref() == Some(&statement.name) && finding.fault == fault
        };
        match self.found.iter_mut().find(same) {
            Some(finding) => finding.operations.push(operation),
            None => self.found.push(Finding {
                statement: Some(statement.name.clone()),
                operations: vec![operation],
                fault,
            }),
        }
    }
}

/// Whether an enclave of this measurement can fulfil what is demanded: each PCR that both name agrees.
fn admits(bounds: &Bounds, known: &Known) -> bool {
    bounds.pcrs.iter().all(|(index, values)| pcr(known, *index).is_none_or(|value| values.contains(&value)))
}

/// PCRs that the measurement pins and the statement leaves open. PCR1 and 2 are parts of the image that PCR0 is of.
fn not_demanded(bounds: &Bounds, known: &Known) -> Vec<u8> {
    let pinned = known.pcrs.iter().map(|(index, value)| (index.get(), value.to_string()));
    let open = |(index, value): &(u8, String)| match bounds.pcrs.get(index) {
        Some(values) => values.iter().any(|other| other != value),
        None => true,
    };
    pinned.filter(|(index, _)| *index > 2).filter(open).map(|(index, _)| index).collect()
}

fn pcr(known: &Known, index: u8) -> Option<String> {
    known.pcrs.iter().find(|(found, _)| found.get() == index).map(|(_, value)| value.to_string())
}
