"""What is cut into shards, and what cannot be; tests/distributed/test_fsdp.py trains in them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification, MarianConfig, MarianMTModel

from nlp_transfer.errors import ModelError
from nlp_transfer.training.shards import copy_for_shards, layers_to_cut

# DistilBERT names no layer that stays in one piece: it is cut as a whole.
LAYERS = {"bert": ["BertLayer"], "roberta": ["RobertaLayer"], "distilbert": []}


def trainer(model: Any, *, chosen: list[str] | None = None) -> Any:
    plugin = SimpleNamespace(transformer_cls_names_to_wrap=chosen)
    accelerator = SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin))
    return SimpleNamespace(model=model, is_fsdp_enabled=True, accelerator=accelerator)


@pytest.mark.parametrize("family", LAYERS)
def test_the_layers_are_cut_and_what_holds_the_word_embeddings_is_not(family: str, tiny_model: Any) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model(family))
    assert layers_to_cut(model) == LAYERS[family]
    made = trainer(model)
    copied = copy_for_shards(made)
    assert copied is not model
    assert copied.state_dict().keys() == model.state_dict().keys()
    assert made.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap == LAYERS[family]


def test_a_hardware_file_may_choose_the_layers(tiny_model: Any) -> None:
    made = trainer(
        AutoModelForSequenceClassification.from_pretrained(tiny_model("bert")), chosen=["BertAttention"]
    )
    copy_for_shards(made)
    assert made.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap == ["BertAttention"]


def test_word_embeddings_that_encoder_and_decoder_share_cannot_be_cut() -> None:
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    config = MarianConfig(
        vocab_size=20, pad_token_id=0, decoder_start_token_id=0, decoder_attention_heads=2, **sizes
    )
    with pytest.raises(
        ModelError, match=r"FSDP cannot cut word embeddings that \d layers share \(model\.shared"
    ):
        copy_for_shards(trainer(MarianMTModel(config)))
