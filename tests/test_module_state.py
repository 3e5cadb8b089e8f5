"""state_dict and load_state_dict, on lucidlite and torch."""

from collections import OrderedDict

import pytest
from module_cases import make_affine, make_net


@pytest.fixture(params=["lucidlite", "torch"])
def lib(request):
    return pytest.importorskip(request.param, reason="compares with PyTorch")


def test_state_dict_names_and_sharing(lib):
    net = make_net(lib)()
    state = net.state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == [
        "gain", "first.weight", "first.offset", "body.0.weight", "body.0.offset", "body.1.weight",
        "body.1.offset", "body.2.weight", "body.2.offset", "again.weight", "again.offset",
    ]  # fmt: skip
    assert state._metadata["body.0"] == {"version": 1}
    assert not state["gain"].requires_grad
    assert not isinstance(state["gain"], lib.nn.Parameter)
    state["gain"][0] = 7
    assert net.gain.tolist() == [7]
    assert net.state_dict(keep_vars=True)["gain"] is net.gain
    into = {}
    assert net.state_dict(destination=into, prefix="net.") is into
    assert next(iter(into)) == "net.gain"


def test_load_state_dict(lib):
    source, target = make_affine(lib)(2, 1.0), make_affine(lib)(2)
    with lib.no_grad():
        source.weight.mul_(3)
    weight = target.weight
    result = target.load_state_dict(source.state_dict())
    assert repr(result) == "<All keys matched successfully>"
    assert result.missing_keys == []
    assert result.unexpected_keys == []
    assert target.weight is weight
    assert weight.requires_grad
    assert weight.tolist() == [3, 3]
    assert target.offset.tolist() == [1, 1]
    with lib.no_grad():
        source.weight.zero_()
    assert weight.tolist() == [3, 3]


def test_load_state_dict_converts_dtypes(lib):
    target = make_affine(lib)(2)
    target.load_state_dict(make_affine(lib)(2).double().state_dict())
    assert target.weight.dtype == lib.float32


def test_load_state_dict_reports_everything_at_once(lib):
    net = make_net(lib)()
    state = net.state_dict()
    del state["first.weight"], state["gain"]
    state["other"] = lib.ones(1)
    state["body.7.weight"] = lib.ones(1)
    state["body.0.weight"] = lib.ones(5)
    state["body.1.weight"] = "text"
    state["body.2.weight"] = lib.full((2,), 9.0)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    text = caught.value.args[0]
    assert text.startswith(
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "gain", '
        '"first.weight". \n\tUnexpected key(s) in state_dict: "other", "body.7.weight". \n\t'
        "size mismatch for body.0.weight: copying a param with shape "
    )
    assert 'While copying the parameter named "body.1.weight"' in text
    assert "but received <class 'str'>" in text
    assert net.body[2].weight.tolist() == [9, 9]
    del state["body.0.weight"], state["body.1.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["gain", "first.weight", "body.0.weight", "body.1.weight"]
    assert result.unexpected_keys == ["other", "body.7.weight"]
    assert repr(result) == (
        f"_IncompatibleKeys(missing_keys={result.missing_keys}, "
        f"unexpected_keys={result.unexpected_keys})"
    )


def test_load_state_dict_takes_old_one_element_tensors(lib):
    module = lib.nn.Module()
    module.scale = lib.nn.Parameter(lib.tensor(1.0))
    module.load_state_dict({"scale": lib.tensor([4.0])})
    assert module.scale.item() == 4


def test_load_state_dict_assign(lib):
    module = make_affine(lib)(2)
    weight, offset = lib.zeros(2, dtype=lib.float64), lib.ones(2)
    module.load_state_dict({"weight": weight, "offset": offset}, assign=True)
    assert isinstance(module.weight, lib.nn.Parameter)
    assert module.weight.dtype == lib.float64
    assert module.weight.requires_grad
    assert module.offset is offset
    weight[0] = 5
    assert module.weight.tolist() == [5, 0]


def make_counter(lib):
    class Counter(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    return Counter


def test_extra_state(lib):
    counter = make_counter(lib)
    module = lib.nn.Sequential(counter())
    module[0].count = 4
    state = module.state_dict()
    assert dict(state) == {"0._extra_state": {"count": 4}}
    other = lib.nn.Sequential(counter())
    other.load_state_dict(state)
    assert other[0].count == 4
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "0._extra_state"'):
        lib.nn.Sequential(lib.nn.Module()).load_state_dict(state)
    with pytest.raises(RuntimeError):
        lib.nn.Module().get_extra_state()
    with pytest.raises(RuntimeError):
        lib.nn.Module().set_extra_state(1)


def test_state_dict_hooks(lib):
    module = lib.nn.Sequential(make_affine(lib)())
    log = []
    module[0].register_state_dict_pre_hook(lambda _m, prefix, _keep_vars: log.append(prefix))

    def rename(_m, state, prefix, metadata):
        log.append(metadata["version"])
        state[prefix + "w"] = state.pop(prefix + "weight")

    module[0].register_state_dict_post_hook(rename)
    state = module.state_dict()
    assert log == ["0.", 1]
    assert list(state) == ["0.offset", "0.w"]

    def back(_m, state, prefix, _metadata, _strict, _missing, _unexpected, _errors):
        state[prefix + "weight"] = state.pop(prefix + "w")

    module[0].register_load_state_dict_pre_hook(back)
    handle = module.register_load_state_dict_post_hook(lambda _m, keys: keys[1].clear())
    with handle:
        module.load_state_dict({**state, "0.more": lib.ones(1)})
    with pytest.raises(RuntimeError, match="more"):
        module.load_state_dict({**state, "0.more": lib.ones(1)})


def test_load_from_state_dict_may_be_overridden(lib):
    affine = make_affine(lib)

    class Renamed(affine):
        _version = 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            if local_metadata.get("version", 1) < 2:
                state_dict[prefix + "weight"] = state_dict.pop(prefix + "old")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "note"] = 1

    module = lib.nn.Sequential(Renamed())
    assert module.state_dict()["0.note"] == 1
    assert module.state_dict()._metadata["0"] == {"version": 2}
    module.load_state_dict({"0.old": lib.full((2,), 6.0), "0.offset": lib.zeros(2)})
    assert module[0].weight.tolist() == [6, 6]
