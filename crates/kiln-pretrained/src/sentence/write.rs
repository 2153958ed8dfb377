//! The files of a sentence encoder, written.

use super::{SentenceConfig, VectorModule, dense::DenseModule};
use crate::files::CONFIG_FILE;
use kiln_models::hf::sentence_transformers::{MODULES_FILE, ModuleEntry, write_modules, write_pooling};
use safetensors::{Dtype, SafeTensorError, serialize, tensor::TensorView};
use serde_json::{Value, json};

impl SentenceConfig {
    /// The files that describe the encoder, as paths below the model's folder (separator `/`) and contents:
    /// `modules.json`, one folder a module, `sentence_bert_config.json`, `config_sentence_transformers.json`. The reverse of
    /// [`from_folder`](Self::from_folder). `hidden` is the hidden size of the model.
    ///
    /// # Errors
    /// If the weights of a dense module cannot be serialized.
    pub fn to_files(&self, hidden: usize) -> Result<Vec<(String, Vec<u8>)>, SafeTensorError> {
        let module = |class: &str, folder: String| ModuleEntry { class: class.into(), folder };
        let mut modules = vec![module("Transformer", String::new()), module("Pooling", "1_Pooling".into())];
        let mut files = vec![(modules[1].file(CONFIG_FILE), json_bytes(&write_pooling(&self.pooling, hidden)))];
        for vector_module in &self.modules {
            let index = modules.len();
            match vector_module {
                VectorModule::Normalize => modules.push(module("Normalize", format!("{index}_Normalize"))),
                VectorModule::Dense(dense) => {
                    let entry = module("Dense", format!("{index}_Dense"));
                    files.push((entry.file(CONFIG_FILE), json_bytes(&dense.to_json())));
                    files.push((entry.file("model.safetensors"), tensor_bytes(dense)?));
                    modules.push(entry);
                }
            }
        }
        files.push((MODULES_FILE.into(), json_bytes(&write_modules(&modules))));
        files.extend(self.settings_files());
        Ok(files)
    }

    /// The length and case of texts, the prompts and the similarity function.
    fn settings_files(&self) -> [(String, Vec<u8>); 2] {
        let transformer = json!({ "max_seq_length": self.max_length, "do_lower_case": self.lowercase });
        let mut settings = self.prompts.to_json();
        settings["similarity_fn_name"] = self.similarity.name().into();
        [
            (super::read::TRANSFORMER_FILES[0].into(), json_bytes(&transformer)),
            (super::read::PROMPTS_FILE.into(), json_bytes(&settings)),
        ]
    }
}

/// JSON as the contents of a file.
fn json_bytes(json: &Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}

/// The weights of a dense module as the contents of a safetensors file.
fn tensor_bytes(dense: &DenseModule) -> Result<Vec<u8>, SafeTensorError> {
    let tensors = dense.tensors().into_iter().map(|(name, shape, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (name, shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views =
        tensors.iter().map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    serialize(views.collect::<Result<Vec<_>, SafeTensorError>>()?, None)
}

#[cfg(test)]
mod tests {
    use super::super::{DenseActivation, Prompts, Similarity};
    use super::*;
    use kiln_models::hf::sentence_transformers::PoolingOptions;
    use kiln_nn::head::Pooling;
    use std::fs;

    /// What a folder with the written files says.
    fn read_back(config: &SentenceConfig) -> SentenceConfig {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in config.to_files(2).unwrap() {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
        SentenceConfig::from_folder(folder.path()).unwrap()
    }

    #[test]
    fn written_files_are_read_back() {
        let dense =
            |bias, activation| DenseModule::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], bias, activation).unwrap();
        let projected =
            dense(None, DenseActivation::Identity).with_residual(Some(vec![6.0, 5.0, 4.0, 3.0, 2.0, 1.0])).unwrap();
        let settings = json!({ "prompts": { "query": "q: " }, "default_prompt_name": "query" });
        let config = SentenceConfig {
            pooling: PoolingOptions { modes: vec![Pooling::Last], include_prompt: false },
            modules: vec![
                VectorModule::Dense(dense(Some(vec![0.5, 0.0, -0.5]), DenseActivation::Tanh)),
                VectorModule::Normalize,
                VectorModule::Dense(projected),
            ],
            max_length: Some(12),
            lowercase: true,
            prompts: Prompts::from_json(&settings).unwrap(),
            similarity: Similarity::Dot,
        };
        let found = read_back(&config);
        assert_eq!((&found.pooling, &found.modules), (&config.pooling, &config.modules));
        assert_eq!((found.max_length, found.lowercase, found.similarity), (Some(12), true, Similarity::Dot));
        assert_eq!(found.prompts, config.prompts);
        let plain = read_back(&SentenceConfig::default());
        assert_eq!((plain.pooling, plain.modules, plain.max_length), (PoolingOptions::default(), vec![], None));
    }
}
