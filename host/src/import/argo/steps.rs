//! The steps of a canary: weights and pauses become the steps of a rollout.

use crossfade_protocol::Share;

use super::super::draft::Step;
use super::super::source::Field;
use super::super::{ImportError, duration};
use super::{Import, PODS};

impl Import<'_, '_> {
    /// One item of `steps`, which has one field.
    pub(super) fn step(&mut self, step: &Field<'_>) -> Result<(), ImportError> {
        for (key, field) in step.fields() {
            match key {
                "setWeight" => self.set_weight(&field)?,
                "pause" => self.pause(&field)?,
                "analysis" => self.step_analysis(&field),
                "setHeaderRoute" => self.header_route(&field),
                "setCanaryScale" => self.ledger.elsewhere(&field, PODS),
                "setMirrorRoute" => self.ledger.left(
                    &field,
                    "nothing is mirrored: a plan sends a request to one version; mirror in your \
                     proxy, before the rollout",
                ),
                "experiment" => self.ledger.left(
                    &field,
                    "starts pods for a comparison, which stays with Kubernetes; a rule's `split` \
                     compares versions that run already",
                ),
                "plugin" => self.ledger.left(
                    &field,
                    "runs a program of Argo's; to wait for one of yours, give this step \
                     `approval: manual` and let it send `promote_rollout`",
                ),
                // Anything else is unknown.
                _ => {}
            }
        }
        Ok(())
    }

    fn set_weight(&mut self, field: &Field<'_>) -> Result<(), ImportError> {
        let max = self.max_weight;
        let weight = field.number().filter(|weight| (0.0..=max).contains(weight));
        let weight = weight
            .ok_or_else(|| ImportError::value(field, format!("not a weight from 0 to {max}")))?;
        let percent = weight / max * 100.0;
        let Some(share) = Share::from_percent((percent * 100.0).round() / 100.0) else {
            return Err(ImportError::value(field, "not a share"));
        };
        let last = self.draft.steps.last().map_or(Share::ZERO, |step| step.percentage);
        if share < last {
            self.ledger.left(
                field,
                format!(
                    "a rollout never lowers the share (it is {last} here); `abort_rollout` takes \
                     the new version back"
                ),
            );
            return Ok(());
        }
        if share == Share::ZERO {
            let why = if weight > 0.0 {
                "is finer than 0.01 %, the finest share"
            } else {
                "0 % is no step: a rollout begins with its first share above 0, when \
                 `gradual_rollout` is sent"
            };
            self.ledger.left(field, why);
            return Ok(());
        }
        if share > last {
            self.draft.steps.push(Step { percentage: share, duration_ms: 0.0, is_manual: false });
            if (percent * 100.0 - f64::from(share.buckets())).abs() > 1e-6 {
                let how = format!("{percent} % is rounded: shares go in steps of 0.01 %");
                self.ledger.changed(field, &self.draft.step_path("percentage"), how);
                return Ok(());
            }
        }
        self.ledger.carried(field, &self.draft.step_path("percentage"));
        Ok(())
    }

    fn pause(&mut self, pause: &Field<'_>) -> Result<(), ImportError> {
        let duration = match pause.get("duration") {
            None => None,
            Some(field) => {
                let seconds = field.number().map(|seconds| seconds * 1e3);
                let ms = seconds.or_else(|| duration::read(field.text()?));
                let ms = ms.filter(|ms| *ms >= 0.0).ok_or_else(|| {
                    ImportError::value(&field, "not a duration: 10 (seconds), 10s, 5m, 1h30m")
                })?;
                Some((field, ms))
            }
        };
        if self.draft.steps.is_empty() {
            self.ledger.left(
                pause,
                "nobody is on the new version yet: the rollout begins when `gradual_rollout` is \
                 sent",
            );
            return Ok(());
        }
        match duration {
            // Argo takes a duration of 0 for none.
            Some((field, ms)) if ms > 0.0 => self.lengthen(&[&field], ms),
            _ => {
                if let Some(step) = self.draft.steps.last_mut() {
                    step.is_manual = true;
                }
                let path = self.draft.step_path("approval");
                self.ledger.carried(pause, &path);
            }
        }
        Ok(())
    }

    /// Adds the time that these fields ask for to the step.
    pub(super) fn lengthen(&mut self, because: &[&Field<'_>], ms: f64) {
        if let Some(step) = self.draft.open_step() {
            step.duration_ms += ms;
        }
        let path = self.draft.step_path("duration_minutes");
        for field in because {
            self.ledger.carried(field, &path);
        }
    }
}
