import re
from pathlib import Path

import pytest
import yaml

from diptych.errors import RecipeError
from diptych.recipes import Recipe, builtin_names, load_recipe, recipe_yaml


def message(source, overrides=()) -> str:
    """The sentence with which a recipe is refused; never pydantic's own page."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(source, overrides)
    text = str(caught.value)
    assert caught.value.exit_code == 2
    assert "pydantic" not in text
    assert "http" not in text
    assert "\n" not in text
    return text


@pytest.fixture
def file(tmp_path):
    def write(text: str, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_recipes_that_come_with_the_package() -> None:
    assert {"vae", "gan", "vae-gan", "vae-mlp", "gan-mlp", "vae-gan-mlp"} <= set(builtin_names())
    assert list(builtin_names()) == sorted(builtin_names())


@pytest.mark.parametrize("name", builtin_names())
def test_every_recipe_loads_and_survives_its_own_yaml(name, file) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title
    assert recipe.summary
    assert load_recipe(file(recipe_yaml(recipe))) == recipe
    assert load_recipe(recipe.to_dict()) == recipe
    assert load_recipe(recipe) == recipe
    assert yaml.safe_load(recipe_yaml(recipe)) == recipe.to_dict()


def test_recipes_cannot_be_changed() -> None:
    recipe = load_recipe("vae-mlp")
    with pytest.raises(ValueError, match="frozen"):
        recipe.model.latent_dim = 3


class TestUnknown:
    """The nearest known word is offered."""

    def test_recipe(self) -> None:
        text = message("vea")
        assert "there is no recipe 'vea'. Did you mean 'vae'?" in text
        assert all(name in text for name in builtin_names())
        assert ".yaml file" in text
        assert "Did you mean" not in message("zzzzzz")
        assert "there is no recipe ''" in message("")

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ("titel=x", "unknown key 'titel'; did you mean 'title'?"),
            ("model.latent_dims=3", "unknown key 'model.latent_dims'; did you mean 'latent_dim'?"),
            ("model.network.widht=3", "'model.network.widht'; did you mean 'width'?"),
            ("model.likelihood.sigm=3", "'model.likelihood.sigm'; did you mean 'sigma'?"),
            ("training.ema.half_lif=3", "'training.ema.half_lif'; did you mean 'half_life'?"),
            ("optimizers.autoencoder.lerning_rate=3", "did you mean 'learning_rate'?"),
            ("model.zzz=3", "known here: beta, free_nats, kind, kl_warmup, latent_dim"),
            ("optimizers.generator.beta1=0", "no turn 'generator'; a vae takes: autoencoder"),
        ],
    )
    def test_key(self, setting, says) -> None:
        text = message("vae-mlp", [setting])
        assert says in text
        assert text.startswith("recipe 'vae-mlp': ")

    def test_several_at_once(self) -> None:
        text = message("vae-mlp", ["model.latent_dims=3", "training.batchsize=4"])
        assert "latent_dim'" in text
        assert "batch_size'" in text


class TestWrongValues:
    """The key, the value that was found, and what is allowed."""

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ("model.latent_dim=many", r"'model\.latent_dim' is 'many'; .*integer"),
            ("model.latent_dim=0", r"'model\.latent_dim' is 0; .*greater than or equal to 1"),
            ("model.latent_dim=2.5", r"'model\.latent_dim' is 2\.5; .*integer"),
            ("model.beta=-1", r"'model\.beta' is -1"),
            ("model.beta=nan", r"'model\.beta' is nan"),
            ("model.kl_warmup=1", r"'model\.kl_warmup' is 1; .*less than 1"),
            ("optimizers.autoencoder.learning_rate=0", "greater than 0"),
            ("model.likelihood.mode=best", r"'model\.likelihood\.mode' is 'best'; .*'optimal'"),
            ("name=My VAE", r"'name' is 'My VAE'"),
            ("model=3", "'model' is 3; it must be a mapping"),
            ("training=[1]", r"'training' is \[1\]; it must be a mapping"),
        ],
    )
    def test_values(self, setting, says) -> None:
        assert re.search(says, message("vae-mlp", [setting]))

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ("model.kind=vea", "model.kind is 'vea'; allowed: 'vae', "),
            ("model.network.kind=dense", "model.network.kind is 'dense'; allowed: 'mlp', "),
            ("model.likelihood.kind=bce", "model.likelihood.kind is 'bce'; allowed: 'gaussian', "),
        ],
    )
    def test_kinds(self, setting, says) -> None:
        assert says in message("vae-mlp", [setting])

    @pytest.mark.parametrize(
        ("setting", "says"),
        [
            ("model.adversarial_weight=-1", "'model.adversarial_weight' is -1"),
            ("model.adversarial_cap=0", "'model.adversarial_cap' is 0; .*greater than 0"),
            ("model.adversarial_start=1", "'model.adversarial_start' is 1; .*less than 1"),
            ("model.adversarial_ramp=0.95", "0.1 and model.adversarial_ramp 0.95 .* at most 1"),
            ("model.judged=samples", "'model.judged' is 'samples'; .*'both' or 'reconstructions'"),
            ("model.r1_gama=1", "did you mean 'r1_gamma'"),
            ("optimizers.generator.beta1=0", "a vae-gan takes: autoencoder, discriminator"),
        ],
    )
    def test_values_of_the_hybrid(self, setting, says) -> None:
        assert re.search(says, message("vae-gan", [setting]))

    def test_missing_keys(self) -> None:
        settings = load_recipe("vae-mlp").to_dict()
        del settings["title"], settings["model"]["kind"]
        text = message(settings)
        assert "the key 'title' is missing" in text
        assert "'model' needs a 'kind', one of 'vae', " in text
        assert "'model' is missing" in message({"name": "x", "title": "x", "summary": "x"})


def test_the_hybrid_is_the_vae_with_a_discriminator() -> None:
    """What is not the discriminator's is the same, so that a comparison shows what it bought."""
    for suffix in ("", "-mlp"):
        hybrid, vae = load_recipe(f"vae-gan{suffix}"), load_recipe(f"vae{suffix}")
        shared = vae.model.model_dump(exclude={"kind"})
        assert hybrid.model.model_dump(include=set(shared)) == shared
        assert hybrid.training == vae.training


class TestFiles:
    """What is wrong with a file is said with its name."""

    def test_yaml_that_is_none(self, file) -> None:
        path = file("name: x\ntitle: [1\nsummary: y\n")
        assert re.search(rf"recipe file {path} is not valid YAML at line [23]", message(path))

    @pytest.mark.parametrize("text", ["", "3", "- vae", "just words"])
    def test_no_mapping(self, file, text) -> None:
        assert "must be a mapping of keys to values" in message(file(text))

    def test_a_key_that_is_no_word(self, file) -> None:
        assert "'1' is 1; keys should be strings" in message(file("1: 2\n"))

    def test_no_file(self, tmp_path) -> None:
        assert "cannot be read" in message(tmp_path / "missing.yaml")
        (tmp_path / "folder.yaml").mkdir()
        assert "cannot be read" in message(tmp_path / "folder.yaml")
        (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
        assert "cannot be read" in message(tmp_path / "bytes.yaml")

    def test_python_objects_are_not_made(self, file, tmp_path) -> None:
        path = file(f"name: !!python/object/apply:pathlib.Path.touch [{tmp_path}/made]")
        assert "not valid YAML" in message(path)
        assert not (tmp_path / "made").exists()

    def test_a_string_path_is_a_path(self, file) -> None:
        path = file(recipe_yaml(load_recipe("gan")), "my-gan.yml")
        assert load_recipe(str(path)) == load_recipe("gan")


class TestSet:
    """--set key=value, the value as YAML."""

    @pytest.mark.parametrize(
        ("text", "value"),
        [("1e-3", 1e-3), ("0.001", 1e-3), ("1.0e-3", 1e-3), (" 2 ", 2.0), ("1E-4", 1e-4)],
    )
    def test_numbers(self, text, value) -> None:
        recipe = load_recipe("vae-mlp", [f"optimizers.autoencoder.learning_rate={text}"])
        assert recipe.optimizer_of("autoencoder").learning_rate == value

    def test_mappings_and_words(self) -> None:
        recipe = load_recipe("vae-mlp", ["training.ema={half_life: 5}", "title=A = B"])
        assert recipe.training.ema.half_life == 5
        assert recipe.title == "A = B"

    def test_a_turn_that_the_recipe_does_not_name(self) -> None:
        bare = {**load_recipe("gan").to_dict(), "optimizers": {}}
        recipe = load_recipe(bare, ["optimizers.generator.beta1=0.25"])
        assert recipe.optimizer_of("generator").beta1 == 0.25
        assert recipe.optimizer_of("discriminator").learning_rate == 1e-3

    def test_the_later_of_two_counts(self) -> None:
        recipe = load_recipe("vae-mlp", ["model.latent_dim=3", "model.latent_dim=4"])
        assert recipe.model.latent_dim == 4

    def test_another_kind_begins_with_its_own_defaults(self) -> None:
        recipe = load_recipe("vae-mlp", ["model.network.kind=conv"])
        fresh = type(recipe.model.network)()
        assert recipe.model.network == fresh
        assert fresh.kind == "conv"

    def test_settings_count_whatever_their_order(self) -> None:
        settings = ["model.network.width=7", "model.network.kind=conv", "model.latent_dim=2"]
        for order in (settings, settings[::-1], [settings[2], settings[0], settings[1]]):
            recipe = load_recipe("vae-mlp", order)
            assert (recipe.model.network.kind, recipe.model.network.width) == ("conv", 7)
            assert recipe.model.latent_dim == 2

    def test_the_same_kind_changes_nothing(self) -> None:
        recipe = load_recipe("vae-mlp")
        assert load_recipe(recipe, [f"model.network.kind={recipe.model.network.kind}"]) == recipe

    @pytest.mark.parametrize("setting", ["", "latent_dim", "=3", "model..x=3", ".=1"])
    def test_no_setting(self, setting) -> None:
        assert "must look like key.sub-key=value" in message("vae-mlp", [setting])

    def test_below_a_value(self) -> None:
        text = message("vae-mlp", ["model.latent_dim.x=3"])
        assert "'latent_dim' is a value and has no keys below it" in text

    def test_a_value_that_is_no_yaml(self) -> None:
        assert "the value is not valid YAML" in message("vae-mlp", ["title=[1"])

    def test_the_callers_mapping_is_left_alone(self) -> None:
        settings = load_recipe("vae-mlp").to_dict()
        before = recipe_yaml(Recipe.model_validate(settings))
        load_recipe(settings, ["model.network.width=3", "optimizers.autoencoder.beta2=0.5"])
        assert recipe_yaml(Recipe.model_validate(settings)) == before


class TestBase:
    """A recipe that names a base says only what is different."""

    HEAD = "name: mine\ntitle: Mine\nsummary: mine\n"

    def test_what_is_not_said_is_the_bases(self, file) -> None:
        path = file(f"base: vae-mlp\n{self.HEAD}model: {{network: {{width: 7}}}}\n")
        recipe, base = load_recipe(path), load_recipe("vae-mlp")
        same = {**base.to_dict(), "name": "mine", "title": "Mine", "summary": "mine"}
        same["model"]["network"]["width"] = 7
        assert recipe.to_dict() == same
        assert "base" not in recipe_yaml(recipe)

    def test_another_kind_replaces_the_whole(self, file) -> None:
        text = f"base: vae-mlp\n{self.HEAD}model: {{likelihood: {{kind: bernoulli}}}}\n"
        assert load_recipe(file(text)).model.likelihood.model_dump() == {"kind": "bernoulli"}

    def test_a_mapping_may_have_one_too(self) -> None:
        settings = {"base": "gan-mlp", "name": "mine"}
        assert load_recipe(settings).model == load_recipe("gan-mlp").model
        assert settings["base"] == "gan-mlp"

    def test_no_base(self, file, tmp_path) -> None:
        assert "Did you mean 'vae-mlp'?" in message(file("base: vae-mpl\n"))
        assert "'base' is 3; it must name another recipe" in message(file("base: 3\n"))
        path = tmp_path / "round.yaml"
        path.write_text(f"base: {path}\n")
        assert "it must name another recipe" in message(str(path))
        (tmp_path / "a.yaml").write_text(f"base: {tmp_path / 'b.yaml'}\n")
        (tmp_path / "b.yaml").write_text(f"base: {tmp_path / 'a.yaml'}\n")
        assert "it must name another recipe" in message(tmp_path / "a.yaml")
