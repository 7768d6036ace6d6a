import torch
from torch import nn

from collapse_lit.models.muon import FILTER_MOMENTUM, Muon, orthogonalise


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), nn.Flatten(), nn.Linear(4, 3)).double()


def test_orthogonalised_matrices_have_singular_values_of_about_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 50), (50, 8)):
        matrix = torch.randn(shape, generator=generator, dtype=torch.float64)
        matrix[:, 0] *= 20  # ill conditioned
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        assert s.max() / s.min() > 5
        found = torch.linalg.svd(orthogonalise(matrix)).S
        assert 0.5 < found.min() <= found.max() < 1.3
        kept = torch.linalg.multi_dot([u.T, orthogonalise(matrix), vh.T])  # same directions
        assert torch.allclose(kept, torch.diag(kept.diagonal()), atol=1e-9)


def test_filters_keep_their_norm_and_all_else_is_sgds() -> None:
    """Two steps, checked by hand."""
    torch.manual_seed(0)
    ours, theirs = network(), network()
    theirs.load_state_dict(ours.state_dict())
    sgd = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    muon = Muon(ours, filter_lr=0.05, **sgd)
    plain = torch.optim.SGD(theirs[2].parameters(), nesterov=True, **sgd)
    images, labels = torch.randn(5, 2, 3, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1])
    history = torch.zeros(4, 18, dtype=torch.float64)

    def backward(model: nn.Module) -> torch.Tensor:
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    for _ in range(2):
        backward(theirs)
        with torch.no_grad():
            filters = theirs[0].weight
            gradient = filters.grad.flatten(1)
            history = FILTER_MOMENTUM * history + gradient
            step = orthogonalise(gradient + FILTER_MOMENTUM * history).view_as(filters)
            filters.copy_(2 * filters / filters.norm() - 0.05 * step)
        plain.step()
        assert muon.step(lambda: backward(ours)) > 0
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.allclose(mine, other, atol=1e-12)


def test_a_step_allocates_no_history_but_the_first(monkeypatch) -> None:
    made, zeros_like = [], torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda x: made.append(x.shape) or zeros_like(x))
    model = network()
    muon = Muon(model, lr=0.1, filter_lr=0.05, momentum=0.9, weight_decay=0.0)
    for _ in range(3):
        model(torch.randn(5, 2, 3, 3, dtype=torch.float64)).sum().backward()
        muon.step()
    assert made == [model[0].weight.shape]
