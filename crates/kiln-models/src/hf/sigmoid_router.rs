//! What GGUF says of mixtures of experts with a sigmoid router and of latent attention.

use super::{
    config_reader::ConfigReader,
    gguf::{GgufFields, GgufMetadata},
    keys::Convert,
    template::Holes,
};
use kiln_spec::ValidationError;
use serde_json::{Map, Value};

/// No key: what GGUF says of the router and of the latents' norms. Holes: `norm_topk` and `routed_scaling`. Reads the hole `eps`.
pub(super) struct SigmoidRouter;

/// The ε of the latents' norms. GGUF has one for all norms.
const LATENT_EPS: f64 = 1e-6;
/// The number of the sigmoid as the function of a router.
const SIGMOID: usize = 2;

impl Convert for SigmoidRouter {
    fn read(&self, _fields: &ConfigReader, _holes: &mut Holes) -> Result<(), ValidationError> {
        Ok(())
    }

    fn write(&self, _holes: &Holes, _json: &mut Map<String, Value>) -> Result<(), ValidationError> {
        Ok(())
    }

    fn read_gguf(&self, fields: &GgufFields, holes: &mut Holes) -> Result<(), ValidationError> {
        match fields.integer("expert_gating_func")? {
            Some(SIGMOID) => {}
            found => {
                let found = found.map_or("none, which is softmax".into(), |number| number.to_string());
                return Err(fields.error("expert_gating_func", format!("expected {SIGMOID}, sigmoid, found {found}")));
            }
        }
        if (holes.float("eps") - LATENT_EPS).abs() > 1e-12 {
            let reason = format!("expected {LATENT_EPS}, that of the latents' norms, found {}", holes.float("eps"));
            return Err(fields.error("attention.layer_norm_rms_epsilon", reason));
        }
        holes.set("norm_topk", fields.flag("expert_weights_norm")?.unwrap_or(false));
        let scaling = fields.float("expert_weights_scale")?.filter(|factor| *factor != 0.0);
        holes.set("routed_scaling", scaling.unwrap_or(1.0));
        Ok(())
    }

    fn write_gguf(&self, holes: &Holes, out: &mut GgufMetadata) -> Result<(), ValidationError> {
        if holes.float("eps") != LATENT_EPS {
            let reason = format!("GGUF has one ε for all norms, found {} and {LATENT_EPS}", holes.float("eps"));
            return Err(ValidationError::new("model.blocks.attention.projection.latent.norm.rms.eps", reason));
        }
        out.set("expert_gating_func", SIGMOID);
        out.set("expert_weights_norm", holes.get("norm_topk").clone());
        // A factor of 1 is left out of a configuration.
        out.set("expert_weights_scale", holes.get("routed_scaling").as_f64().unwrap_or(1.0));
        Ok(())
    }
}
