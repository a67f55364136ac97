from __future__ import annotations

from layercache_ci.action.plugin import for_people, plugin_inputs


def test_settings_are_inputs() -> None:
    environment = {"PLUGIN_S3_BUCKET": "b", "PLUGIN_TAGS": "a,b", "PLUGIN_NONE_SUCH": "x", "CI": "woodpecker"}
    assert plugin_inputs(environment) == {"INPUT_WAIT": "true", "INPUT_S3-BUCKET": "b", "INPUT_TAGS": "a,b"}


def test_a_setting_wins() -> None:
    assert plugin_inputs({"PLUGIN_WAIT": "false"}) == {"INPUT_WAIT": "false"}


def test_commands_are_not_shown_and_what_the_engine_prints_is() -> None:
    said = [
        "::add-mask::secret\n",
        "::stop-commands::t\n",
        "::error::the engine's\n",
        "\n",
        "::t::\n",
        "\n",
        "::set-output name=digest::sha256:1\n",
        "::warning::50%25 of it,%0Amore\n",
        "words\n",
        "::error::the build failed\n",
    ]
    assert list(for_people(said)) == [
        "::error::the engine's\n",
        "\n",
        "warning: 50% of it, more\n",
        "words\n",
        "error: the build failed\n",
    ]
