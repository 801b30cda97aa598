"""A search's page from runs as a search logs them: with a winner, with two objectives, and with next to nothing."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import optuna
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from written import Page

from unlabeled.dashboards import search_figures, search_findings, search_planes
from unlabeled.dashboards.drawing import as_svg, told
from unlabeled.dashboards.publish import publish
from unlabeled.dashboards.search_canvas import words_of
from unlabeled.dashboards.search_importance import importance
from unlabeled.dashboards.search_reading import read_search_report
from unlabeled.dashboards.search_study import front, rebuilt
from unlabeled.dashboards.search_trials import Parameter, parameters, trials
from unlabeled.platform.augment import ColorJitter, Crop, Flip
from unlabeled.platform.search import Choice, Composition, Constraint, LogUniform, Objective, Part, Search, Uniform

METRIC = "validation/linear/top1"
SENTENCE = "A batch has at most 400 pictures a worker."
EPOCHS = 8


def fits(run: Any) -> bool:
    return bool(run.batch_size <= 400)


def make_record(small_run: Any, **fields: Any) -> dict[str, Any]:
    jitter = Part(op=ColorJitter(), vary={"strength": Uniform(low=0.1, high=1.2)})
    given: dict[str, Any] = {
        "name": "small",
        "question": "Which temperature, and <which> views?",
        "source": "Chen et al. (2020), arXiv:2002.05709",
        "expected": "A low one.",
        "cost": "little",
        "profiles": {"laptop": small_run},
        "space": {
            "method.temperature": LogUniform(low=0.05, high=1.0),
            "batch_size": Choice(values=(64, 128, 256)),
            "method.views": Composition(parts=(Part(op=Crop(), optional=False), Part(op=Flip()), jitter)),
        },
        "constraints": (Constraint(sentence=SENTENCE, holds=fits),),
        "trials": 24,
        "best": 2,
        "further_seeds": 3,
    }
    return Search(**given | fields).record("laptop")


def make_runs(num_trials: int = 24, states: str = "fpf", second: bool = False, tests: bool = True) -> pd.DataFrame:
    """Trials whose states go round in ``states`` (f finished, p pruned, x failed), then repetitions and tests."""
    random = np.random.default_rng(5)
    lines = []
    for trial in range(num_trials):
        temperature = float(np.exp(random.uniform(np.log(0.05), np.log(1.0))))
        batch_size = int(random.choice([64, 128, 256]))
        flip, jitter = bool(random.random() < 0.5), bool(random.random() < 0.7)
        strength = float(random.uniform(0.1, 1.2))
        score = 0.8 - 0.05 * math.log(temperature / 0.2) ** 2 + 0.02 * jitter + random.normal(0, 0.004)
        ops = ["Crop(0.08-1)", *(["Flip(p=0.5)"] if flip else []), *(["ColorJitter(0.4, p=0.8)"] if jitter else [])]
        line = make_run(f"trial {trial}", 0, trial, trial, batch_size, " > ".join(ops))
        line |= {"sampled.method.temperature": temperature, "built.method.temperature": temperature}
        line |= {"sampled.batch_size": batch_size, "built.batch_size": batch_size}
        line |= {"sampled.views.flip": flip, "sampled.views.color_jitter": jitter}
        line |= {"sampled.views.color_jitter.strength": strength} if jitter else {}
        state = states[trial % len(states)]
        if state == "f":
            line |= {"status": "FINISHED", METRIC: score, "search/objective": score, "health/rankme": 30 * temperature}
            line |= {"search/images_seen": 2048.0 * EPOCHS}
        elif state == "p":
            epoch = 1 + trial % 3
            line |= {"status": "KILLED", "reason": f"pruned after epoch {epoch}", "search/pruned_epoch": epoch}
            line |= {"search/images_seen": 2048.0 * epoch}
        else:
            line |= {"status": "FAILED", "reason": "loss is <nan> in step 3"}
        lines.append(line)
    finished = [line for line in lines if line["status"] == "FINISHED"]
    ranked = sorted(finished, key=lambda line: -line[METRIC])[:2] if tests else []
    for seed in (1, 2, 3):
        for line in ranked:
            score = line[METRIC] - 0.01 + random.normal(0, 0.003)
            own = {"seed": seed, "search.stage": "repeat", METRIC: score, "search/objective": score}
            lines.append({**line, **own, "run_id": f"r{len(lines):031x}", "name": f"{line['row']} seed {seed}"})
        for row, gain in (("winner", 0.03), ("default", 0.0)) if ranked else ():
            score = 0.76 + gain + random.normal(0, 0.004)
            test = make_run(row, seed, ranked[0]["search.trial"] if gain else None, len(lines), 256, "Crop(0.08-1)")
            test |= {"search.stage": "test", "status": "FINISHED", METRIC: score + 0.01, "test/linear/top1": score}
            lines.append(test | {"test/knn/top1": score - 0.02, "protocol:test/linear/top1": "linear@1 on test"})
    return pd.DataFrame(lines)


def make_run(row: str, seed: int, trial: int | None, place: int, batch_size: int, ops: str) -> dict[str, Any]:
    return {
        "run_id": f"{place:032x}",
        "name": f"{row} seed {seed}",
        "study": "small",
        "row": row,
        "seed": seed,
        "profile": "laptop",
        "base": "one",
        "status": "RUNNING",
        "reason": "",
        "fingerprint": f"{place:016x}",
        "started": pd.Timestamp("2026-03-02 09:00", tz="UTC") + pd.Timedelta(minutes=place),
        "seconds": 20.0,
        "link": "",
        "search.stage": "trial",
        "search.trial": trial,
        "epochs": EPOCHS,
        "batch_size": batch_size,
        "method.name": "simclr",
        "method.temperature": 0.2,
        "method.views": "2 x [Crop(0.08-1)]",
        "built.method.views": f"2 x [{ops}]",
    }


def make_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    lines = []
    for run in runs[runs["search.stage"] == "trial"].to_dict("records"):
        last = run.get("search/pruned_epoch", math.nan)
        for epoch in range(1, (EPOCHS if math.isnan(last) else int(last)) + 1):
            value = 0.5 + 0.03 * epoch - 0.02 * abs(math.log(run["sampled.method.temperature"] / 0.2))
            lines.append((run["run_id"], run["row"], run["seed"], epoch, "knn/top1", value))
    return pd.DataFrame(lines, columns=["run_id", "row", "seed", "epoch", "metric", "value"])


def make_search(runs: pd.DataFrame, **fields: Any) -> dict[str, Any]:
    return {
        "store": {"journal": "one.journal", "study": "x"},
        "trials": [],
        "rejected": [
            {"trial": 40, "point": {}, "why": [SENTENCE]},
            {"trial": 41, "point": {}, "why": [SENTENCE, "batch_size 512 is more than <all> pictures"]},
        ],
        "learned": 2,
        "winner": None,
        "tested": {},
    } | fields


@pytest.fixture
def write(tmp_path, small_run):
    """Return a function that writes a search's page and reads it back, with its report."""

    def writer(runs, search=None, record=None, config="", epochs=None):
        epochs = make_epochs(runs) if epochs is None else epochs
        report = read_search_report(make_record(small_run) if record is None else record, runs, epochs, search, config)
        return Page(report.write(tmp_path / "report")), report

    return writer


def test_a_search_with_a_winner_has_every_part(write, tmp_path):
    runs = make_runs()
    page, report = write(runs, make_search(runs), config="{}")
    best = runs[runs["search.stage"] == "repeat"].groupby("search.trial")[METRIC].mean()
    assert report.has_winner
    assert report.chosen in best.index
    assert {name for name, _, _ in report.figures} == {
        "history", "curves", "importance", "grid-parallel", "grid-slices", "map",
    }  # fmt: skip
    assert page.headings() == [
        "answer", "winner", "numbers", "figures", "trials", "setup", "missing", "provenance",
    ]  # fmt: skip
    assert "Which temperature, and <which> views?" in page.text
    test = runs[runs["search.stage"] == "test"].pivot(index="seed", columns="row", values="test/linear/top1")
    gain = 100 * (test["winner"] - test["default"]).mean()
    assert f"test/linear/top1: +{gain:.1f} points against the default (95 % interval" in page.text
    assert "unlabeled run --config winner.json" in page.text
    assert (tmp_path / "report" / "winner.json").read_text() == "{}"
    assert f"{SENTENCE} 2 points broke it." in page.text
    assert "1 point can't be trained: batch_size 512 is more than <all> pictures" in page.text
    assert not any(tag == "script" for tag, _ in page.tags)
    labels = [given["aria-label"] for tag, given in page.tags if tag == "svg"]
    assert len(labels) == 6
    assert all(label.count(":") >= 1 and len(label) > 40 for label in labels)
    csv = pd.read_csv(tmp_path / "report" / "trials.csv", index_col="trial")
    assert csv["state"].value_counts().to_dict() == {"finished": 16, "pruned": 8}
    assert csv.loc[0, "sampled.method.temperature"] == runs.loc[0, "sampled.method.temperature"]
    ours = pd.read_csv(tmp_path / "report" / "test.csv").set_index("metric").loc["test/linear/top1"]
    assert ours["difference"] == pytest.approx((test["winner"] - test["default"]).mean())
    assert ours["low"] < ours["difference"] < ours["high"]


def test_of_several_test_metrics_only_the_objectives_own_is_tested(write, tmp_path):
    """Five metrics with a p value each would soon have a small one: those that do not answer have none."""
    runs = make_runs()
    for name in ("accuracy", "mean/top1", "top5"):
        runs[f"test/knn/{name}"] = runs["test/knn/top1"]
    page, report = write(runs, make_search(runs))
    assert [one.metric for one in report.tested if math.isfinite(one.p)] == ["test/linear/top1"]
    assert all(math.isfinite(one.difference.interval.low) for one in report.tested)
    csv = pd.read_csv(tmp_path / "report" / "test.csv").set_index("metric")["p"]
    assert csv.notna().tolist() == [name == "test/linear/top1" for name in csv.index]
    assert len(csv) == 5
    assert len(re.findall(r"p [=<] 0\.\d+", page.text)) == 2, "in the answer, and in the table"
    assert "Only the objective's own metric, which answers the question, is tested" in page.text
    without, _ = write(runs.drop(columns="test/linear/top1"), make_search(runs))
    assert not re.search(r"p [=<] 0\.\d+", without.text)


def test_equal_runs_give_equal_bytes(write, tmp_path):
    runs = make_runs()

    def files():
        write(runs, make_search(runs))
        return {path.name: path.read_bytes() for path in (tmp_path / "report").iterdir()}

    assert files() == files()


def test_pruning_saved_what_the_pruned_trials_did_not_see(write):
    runs = make_runs(12, "fp", tests=False)
    page, report = write(runs)
    pruned = runs[runs["status"] == "KILLED"]
    saved = 2048.0 * (EPOCHS - pruned["search/pruned_epoch"]).sum()
    found = search_findings.compute(report.table)
    assert found.full - found.seen == pytest.approx(saved)
    assert found.full == 12 * 2048.0 * EPOCHS
    assert f"Pruning saved {100 * saved / found.full:.1f} % of that." in page.text


def test_the_temperature_that_decides_is_the_most_important(small_run):
    runs, record = make_runs(40, "f", tests=False), make_record(small_run)
    space = parameters(record, runs)
    found = importance(*trials(record, runs, {}, space), space)
    assert next(iter(found.shares)) == "method.temperature"
    assert found.shares["method.temperature"] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert "fANOVA on 40 finished trials" in found.how
    assert "whose operation is out stands at the middle" in found.how


@pytest.fixture
def drawn_axes(monkeypatch):
    """Return the list that every figure's axes come into, before it is written."""
    found: list[Any] = []
    finish = search_figures.finish
    for figures in (search_figures, search_planes):
        monkeypatch.setattr(figures, "finish", lambda axes, *rest: found.append(axes) or finish(axes, *rest))
    return found


def of_space(small_run, runs):
    space = parameters(make_record(small_run), runs)
    table, points = trials(make_record(small_run), runs, {}, space)
    return {one.name: one for one in space}, table, points, rebuilt(table, points, space, ["maximize"])


def test_percentages_stand_clear_of_their_bars(drawn_axes, small_run):
    _, _, _, study = of_space(small_run, make_runs(20, "f", tests=False))
    search_figures.importance_figure(study, {"method.temperature": 0.7, "batch_size": 0.3})
    (axes,) = drawn_axes
    per_point = axes.figure.dpi / 72
    assert [text.get_text() for text in axes.texts] == ["30 %", "70 %"], "the largest is on top"
    for bar, text in zip(axes.patches, axes.texts, strict=True):
        assert text.get_window_extent().x0 - bar.get_window_extent().x1 >= 3 * per_point


def test_every_slice_marks_the_chosen_trial_on_its_own_dot(drawn_axes, small_run):
    space, table, _, study = of_space(small_run, make_runs(20, "ffp", tests=False))
    best = int(table["value"].idxmax())
    search_figures.slices_figure(study, table, list(space.values()), METRIC, best)
    slices = [axes for axes in drawn_axes[0].figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in slices]
    for axes in slices:
        dots = np.vstack([one.get_offsets() for one in axes.collections if len(one.get_offsets())])
        (own,) = [line for line in axes.lines if line.get_markersize() > 8]
        np.testing.assert_allclose(axes.convert_xunits(own.get_xdata()), dots[dots[:, 1] == table["value"][best]][:, 0])


@pytest.mark.parametrize("turned", [False, True])
def test_a_map_has_each_parameter_on_the_axis_that_names_it(drawn_axes, small_run, turned):
    space, table, points, study = of_space(small_run, make_runs(40, "ffp", tests=False))
    pair = [space["method.temperature"], space["views.color_jitter.strength"]]
    search_planes.contour_figure(study, table, *(pair[::-1] if turned else pair), METRIC, None)
    (axes,) = drawn_axes
    dots = next(one for one in axes.collections if len(one.get_offsets()) > 1)
    done = points.loc[table.index[table["state"] == "finished"]].dropna()
    paths = {one.short_name: one.name for one in pair}
    expected = done[[paths[axes.get_xlabel()], paths[axes.get_ylabel()]]].to_numpy(dtype=float)
    np.testing.assert_allclose(np.sort(np.asarray(dots.get_offsets()), axis=0), np.sort(expected, axis=0))


def test_the_chosen_line_is_the_chosen_trials_though_others_have_its_objective(drawn_axes, small_run):
    runs = make_runs(12, "f", tests=False)
    runs[[METRIC, "search/objective"]] = [[0.5 + 0.1 * (n % 2)] * 2 for n in range(12)]
    space, table, points, study = of_space(small_run, runs)
    search_figures.parallel_figure(study, table, list(space.values()), METRIC, 7)
    (axes,) = drawn_axes
    (lines,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    (own,) = np.flatnonzero(lines.get_linewidths() == np.max(lines.get_linewidths()))
    names = [label.get_text() for label in axes.get_xticklabels()]
    place = names.index("batch_size")
    values = sorted(points["batch_size"].astype(float).unique())
    low, high = axes.get_ylim()
    height = (lines.get_segments()[own][place][1] - low) / (high - low)
    assert values[round(height * (len(values) - 1))] == float(points.loc[7, "batch_size"])


def marks_of(svg: str) -> dict[int, list[tuple[float, float]]]:
    """Return where the marks lie that say a trial's words: one place of a dot, those at every axis of a line."""
    found: dict[int, list[tuple[float, float]]] = {}
    for number, mark in re.findall(r"<g><title>trial (\d+): [^<]*</title>(<[^>]*>)", svg):
        dot = re.search(r'\bx="([\d.]+)" y="([\d.]+)"', mark)
        places = [dot.groups()] if dot else re.findall(r"[ML] ([\d.]+) ([\d.]+)", mark)
        assert int(number) not in found, "each says its own"
        found[int(number)] = [(float(across), float(up)) for across, up in places]
    return found


def lie_in_order(places: Mapping[int, float], values: pd.Series) -> bool:
    """Return whether trials lie in the order of their values, where these differ."""
    return bool(values.loc[sorted(places, key=places.__getitem__)].is_monotonic_increasing)


def test_every_dot_and_line_says_its_trial_and_lies_where_it_says(small_run):
    """Where two have one objective, too; of all figures, whose marks are read off as they are drawn."""
    runs = make_runs(24, "fpf", tests=False)
    finished = runs.index[runs["status"] == "FINISHED"]
    runs.loc[finished[[2, 5]], METRIC] = runs.loc[finished[9], METRIC]
    space, table, points, study = of_space(small_run, runs)
    done, every = table[table["state"] == "finished"], list(space.values())
    assert done["value"].duplicated().sum() == 2
    words = words_of(table, points, every, [METRIC])
    given: Any = (METRIC, int(done.index[0]), words)
    across, up = space["method.temperature"], space["views.color_jitter.strength"]

    history = marks_of(search_figures.history_figure(study, table, *given))
    assert list(history) == list(done.index)
    assert lie_in_order({number: x for number, ((x, _),) in history.items()}, done.index.to_series())
    assert lie_in_order({number: -y for number, ((_, y),) in history.items()}, done["value"])

    slices = marks_of(search_figures.slices_figure(study, table, [across], *given))
    assert set(slices) == set(done.index)
    assert lie_in_order({number: x for number, ((x, _),) in slices.items()}, points[across.name])
    assert lie_in_order({number: -y for number, ((_, y),) in slices.items()}, done["value"])

    both = points.loc[done.index, [across.name, up.name]].dropna()
    plane = marks_of(search_planes.contour_figure(study, table, across, up, *given))
    assert set(plane) == set(both.index)
    assert lie_in_order({number: x for number, ((x, _),) in plane.items()}, both[across.name])
    assert lie_in_order({number: -y for number, ((_, y),) in plane.items()}, both[up.name])

    lines = marks_of(search_figures.parallel_figure(study, table, every, *given))
    assert set(lines) == set(done.index)
    numbers = {
        place: one.name for place, one in enumerate(sorted(every, key=lambda one: one.name), 1) if not one.choices
    }
    assert across.name in numbers.values()
    for place, name in numbers.items():
        told = points.loc[done.index, name].dropna()
        assert lie_in_order({number: -lines[number][place][1] for number in told.index}, told), name

    table = table.assign(second=np.random.default_rng(0).permutation(len(table)) / 100.0)
    front = search_planes.front_figure(
        rebuilt(table, points, [], ["maximize", "minimize"]),
        table,
        (both_metrics := [METRIC, "train/loss"]),
        None,
        words_of(table, points, every, both_metrics),
    )
    dots = marks_of(front)
    assert set(dots) == set(done.index)
    assert lie_in_order({number: x for number, ((x, _),) in dots.items()}, done["value"])
    assert lie_in_order({number: -y for number, ((_, y),) in dots.items()}, table["second"])
    assert "; temperature " in front


def test_words_of_a_mark_are_as_the_tables_have_them(small_run):
    _, table, points, _ = of_space(small_run, make_runs(5, "f", tests=False))
    queue = Parameter("method.queue", low=1024, high=65_536, is_whole=True)
    jitter = Parameter("ops.jitter.p", low=0.0, high=1.0)
    words = words_of(table, points.assign(**{queue.name: 4096, jitter.name: math.nan}), [queue, jitter], [METRIC])
    assert words[3] == f"trial 3: {100 * table['value'][3]:.1f} %; queue 4,096, jitter.p out"


def test_marks_without_words_of_their_own_are_a_mistake():
    figure = Figure()
    figure.add_subplot().scatter([1, 2], [3, 4]).set_gid(told(["only one"]))
    with pytest.raises(ValueError, match="2 marks are drawn, and 1 are told"):
        as_svg(figure, "dots", "")


def test_figures_leave_nothing_of_optuna_behind(small_run):
    def state():
        ggplot = dict(matplotlib.style.library["ggplot"])
        return dict(matplotlib.rcParams), matplotlib.get_backend(), ggplot, matplotlib.pyplot.get_fignums()

    _, table, _, study = of_space(small_run, make_runs(9, "f", tests=False))
    before = state()
    search_figures.history_figure(study, table, METRIC, 3)
    assert state() == before
    with matplotlib.rc_context(), pytest.warns(optuna.exceptions.ExperimentalWarning):
        axes = optuna.visualization.matplotlib.plot_optimization_history(study)
    matplotlib.pyplot.close(axes.figure)


def test_a_search_with_gaps_in_its_numbers_names_its_own_trials(drawn_axes, small_run):
    runs = make_runs(9, "fp", tests=False)
    runs["search.trial"] = runs["search.trial"] * 7 + 3
    _, table, _, study = of_space(small_run, runs)
    best = int(table["value"].idxmax())
    svg = search_figures.history_figure(study, table, METRIC, best)
    assert f"came with trial {best}" in svg
    (axes,) = drawn_axes
    assert axes.xaxis.get_major_formatter()(4, None) == str(4 * 7 + 3)


def test_importance_weighs_a_range_as_it_was_sampled(small_run):
    """The evaluator takes every range for an even one, so a logarithmic one counts by its logarithm."""
    space, table, points, _ = of_space(small_run, make_runs(30, "f", tests=False))
    temperature = space["method.temperature"]
    ends = {"low": math.log(temperature.low), "high": math.log(temperature.high)}
    logged = points.assign(**{temperature.name: [math.log(value) for value in points[temperature.name]]})
    even = {**space, temperature.name: replace(temperature, **ends, is_log=False)}
    shares = importance(table, points, list(space.values())).shares
    assert shares == pytest.approx(importance(table, logged, list(even.values())).shares)
    assert shares == importance(table, points, list(space.values())).shares


def test_importance_of_few_trials_is_left_out_with_the_reason(write):
    page, report = write(make_runs(7, "f", tests=False))
    assert not report.importance.shares
    assert "Importance. Left out: 7 trials finished, and it needs at least 8" in page.text
    _, report = write(make_runs(8, "f", tests=False))
    assert report.importance.shares


def test_the_space_is_read_as_it_was_declared(small_run):
    space = {one.name: one for one in parameters(make_record(small_run), make_runs())}
    assert list(space) == [
        "method.temperature", "batch_size", "views.flip", "views.color_jitter", "views.color_jitter.strength",
    ]  # fmt: skip
    assert space["method.temperature"].is_log
    assert space["batch_size"].choices == ("64", "128", "256")
    assert space["batch_size"].read(64.0) == "64", "a column with gaps gives whole numbers as floats"
    assert space["views.color_jitter.strength"].is_optional
    assert space["views.color_jitter.strength"].read(math.nan) is None


def test_a_value_that_did_not_arrive_is_listed(write):
    runs = make_runs()
    page, report = write(runs)
    assert report.mismatches == []
    assert f"all {report.num_compared} sampled values that show in what was built are equal to it" in page.text
    wrong = runs.copy()
    wrong.loc[2, "built.method.temperature"] = 0.7
    wrong.loc[3, "built.method.views"] = "2 x [Crop(0.08-1)]"
    wrong.loc[3, "sampled.views.flip"] = True
    page, report = write(wrong)
    assert {(one.run, one.name) for one in report.mismatches} >= {
        ("trial 2 seed 0", "method.temperature"),
        ("trial 3 seed 0", "views.flip"),
    }
    assert "sampled values are not what was built" in page.text


def test_a_list_is_built_as_a_tuple():
    assert search_findings._is_same("[512, 128]", "512, 128")
    assert search_findings._is_same("[]", "none")
    assert search_findings._is_same("None", "none")
    assert not search_findings._is_same("[512]", "128")


def test_two_objectives_have_a_front(write, small_run):
    second = Objective(metric="health/rankme", direction="maximize")
    page, report = write(make_runs(18, "f", tests=False), record=make_record(small_run, second=second))
    assert "front" in {name for name, _, _ in report.figures}
    ahead = front(report.table, ["maximize", "maximize"])
    scores = report.table.loc[:, ["value", "second"]]
    brute = [
        n for n in scores.index
        if not any((scores.loc[m] >= scores.loc[n]).all() and (scores.loc[m] > scores.loc[n]).any()
                   for m in scores.index)
    ]  # fmt: skip
    assert sorted(ahead) == brute
    assert f"{len(ahead)} trials of 18 on the front" in page.text


@pytest.mark.parametrize("num_trials", [1, 2])
@pytest.mark.parametrize("states", ["f", "p", "x", "r"])
def test_few_trials_of_any_state_have_a_page(write, num_trials, states):
    runs = make_runs(num_trials, states.replace("r", "x"), tests=False)
    if states == "r":
        runs["status"] = "RUNNING"
    page, _ = write(runs)
    assert "There are no test scores yet" in page.text
    assert f"24 trials are planned, and {num_trials} {'is' if num_trials == 1 else 'are'} logged." in page.text
    if states == "f":
        assert "No winner yet: trial" in page.text
    else:
        assert "No trial has finished, so there is nothing to choose yet." in page.text
    if states == "x":
        assert "loss is <nan> in step 3" in page.text


def test_without_search_json_the_page_says_what_it_can_not_know(write):
    page, _ = write(make_runs())
    assert "There is no search.json: rejected points" in page.text
    assert "How many broke it is not known" in page.text
    assert "how many points were rejected untrained is not known" in page.text


def test_a_file_of_another_base_is_left_aside(write):
    runs = make_runs()
    page, report = write(runs, make_search(runs, store={"journal": "other.journal"}), config="{}")
    assert "search.json in the home is of another base run" in page.text
    assert report.config == ""


def test_trials_that_were_never_logged_come_from_the_file(write):
    runs = make_runs(4, "f", tests=False)
    lost = {"trial": 9, "state": "failed", "values": None, "point": {"batch_size": 64}, "reason": "its node was lost"}
    page, report = write(runs, make_search(runs, trials=[lost]))
    assert report.table.loc[9, "state"] == "failed"
    assert report.points.loc[9, "batch_size"] == "64"
    assert "its node was lost" in page.text


@pytest.mark.parametrize(
    "record",
    [{}, {"kind": "search"}, {"space": 3, "objective": "x", "trials": "many", "constraints": "none"},
     {"space": {"batch_size": 7, "method.temperature": {"name": "new"}}, "objective": {"metric": METRIC}}],
)  # fmt: skip
def test_a_record_of_another_version_is_read_as_far_as_it_goes(write, record):
    page, report = write(make_runs(), record=record)
    assert "Its record has no question." in page.text or "No study.json" in page.text
    assert "grid-slices" in {name for name, _, _ in report.figures}


@pytest.mark.parametrize("broken", [{"trials": 3}, {"trials": [{"trial": "x"}, 4]}, {"rejected": [{"why": None}]},
                                    {"tested": [], "winner": 999}, {"store": 4}])  # fmt: skip
def test_a_broken_file_gives_a_page_too(write, broken):
    runs = make_runs(6, "fpx", tests=False)
    page, _ = write(runs, make_search(runs, **broken))
    assert "What was found" in page.text


def test_no_runs_at_all_have_a_page(write):
    page, _ = write(pd.DataFrame(), epochs=pd.DataFrame())
    assert "No trial is logged." in page.text


def test_constant_objectives_and_a_winner_that_is_the_default(write):
    runs = make_runs(9, "f")
    runs.loc[runs["search.stage"] == "trial", [METRIC, "search/objective"]] = 0.5
    runs = runs[runs["row"] != "default"]
    scores = {str(seed): {"test/linear/top1": 0.7} for seed in (1, 2, 3)}
    page, report = write(runs, make_search(runs, tested={"winner": scores, "default": scores}))
    assert "every finished trial has the same objective" in page.text
    assert report.tested[0].default.n == 3
    assert not report.default_did_better


def test_a_default_that_did_better_is_said_to_have(write):
    runs = make_runs()
    chosen = (runs["search.stage"] == "test") & (runs["row"] == "winner")
    runs.loc[chosen, "test/linear/top1"] -= 0.3
    page, report = write(runs, make_search(runs))
    assert report.default_did_better
    assert f"The default did better. Trial {report.chosen} was the best of the trials with a mean of" in page.text


def test_publish_writes_a_search_from_the_store(logged, small_run):
    runs = make_runs(9, "fpf")
    record = make_record(small_run)
    home = logged(record, runs.assign(**{"search.trial": runs["search.trial"].astype(object)}), make_epochs(runs))
    folder = home / "searches" / "small"
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(json.dumps(make_search(runs)))
    (folder / "winner.json").write_text("{}")
    page = Page(publish("small", home))
    assert re.search(r"Trial \d+ won with a mean of", page.text)
    assert f"{SENTENCE} 2 points broke it." in page.text
    assert (home / "reports" / "small" / "winner.json").is_file()
    (folder / "search.json").write_text("{ half")
    assert "There is no search.json" in Page(publish("small", home)).text
