"""What of the data is measured, and whether it can be: asked before anything is trained."""

from collections.abc import Mapping

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.evaluate import Measurement
from unlabeled.platform.evaluate.layers import grids, layers, seen_by
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.method import Method
from unlabeled.platform.train.protocols import is_told

_PICTURES = ("image", "clip")
_WORDS = {"image": "pictures", "clip": "clips", "wave": "sounds"}  # what an encoder sees


def check_measurements(
    method: Method, run: RunConfig, data: Data, other: Mapping[DataConfig, Data] | None = None
) -> None:
    """Check that everything that is to be measured of a run can be.

    Args:
        method: built, on any device.
        run: whose.
        data: its data.
        other: the further data sets, where they are loaded; else what they have is not looked at.

    Raises:
        UserError: a layer that the method does not have, a probe that can't score it, or data that lack what a probe is
            told.
    """
    data = data.showing(run.method.field)
    for each in (*run.evaluation.final, *run.evaluation.follow):
        encoders = method.encoders()
        if each.encoder not in encoders:
            raise unknown(f"further encoder of {run.method.name}", each.encoder, [name for name in encoders if name])
        pooled = {"": encoders[each.encoder], **layers(method, each.encoder)}
        known = grids(method, each.encoder) if each.probe.reads == "grid" else pooled
        if each.layer not in known:
            what = "layer with places" if each.probe.reads == "grid" and each.layer in pooled else "layer"
            of = f"{run.method.name}'s encoder {each.encoder}" if each.encoder else run.method.name
            raise unknown(f"{what} of {of}", each.layer, [name for name in known if name])
        each.probe.check(method)
        seen = data if each.data is None else (other or {}).get(each.data)
        if seen is not None and is_told(each, data):
            encoder = encoders[each.encoder]
            _check_told(each, data.showing(seen_by(encoder, data)), seen.showing(seen_by(encoder, seen)))


def _check_told(each: Measurement, own: Data, data: Data) -> None:
    probe, fields = each.probe, data.train.fields
    kind, shown = fields[data.field].kind, own.train.fields[own.field].kind
    if (kind in _PICTURES) != (shown in _PICTURES):
        raise UserError(
            f"{each.key} needs {_WORDS[shown]}, which the encoder sees, and {data.name} has only {', '.join(fields)}; "
            "choose another data set"
        )
    is_changed = each.told in TRANSFORMATIONS
    for what, why in ((each.told if is_changed else "", "tells changes of"), (each.shown, "corrupts")):
        if what and kind not in _PICTURES:
            raise UserError(f"{each.key} {why} pictures, and the encoder sees {_WORDS[kind]}; leave it out")
    if kind not in probe.sees:
        sees = " or ".join(_WORDS[name] for name in probe.sees)
        raise UserError(f"{each.key} is measured on {sees}, and the encoder sees {_WORDS[kind]}; leave it out")
    if is_changed:
        return
    for split in ("train", "validation", "test"):
        there = getattr(data, split).fields.get(each.told)
        if there is None or there.kind != probe.target:
            needs = "labels" if each.told == "class" else f"a {probe.target} {each.told!r}"
            of_kind = [name for name, field in fields.items() if field.kind == probe.target]
            remedy = f"tell it {' or '.join(of_kind)}" if of_kind else "choose another data set, or leave it out"
            raise UserError(f"evaluation.final: {each.key} needs {needs}, and {data.name} has none; {remedy}")
    if probe.is_frozen and not data.train.known(each.told).any():
        raise UserError(f"evaluation.final: no item of {data.name} has its {each.told}; leave {each.key} out")
