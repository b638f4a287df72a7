import pytest
import torch

from alcli.models.loss_head import LossHead, all_pairs_loss, form_loss, ranking_loss, total_loss


def by_hand(predicted, actual, margin):
    pairs = len(predicted) // 2
    total = 0.0
    for i in range(pairs):
        j = len(predicted) - 1 - i
        sign = (actual[i] > actual[j]) * 1.0 - (actual[i] < actual[j]) * 1.0
        total += max(0.0, float(margin - sign * (predicted[i] - predicted[j])))
    return total / pairs


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16])
def test_ranking_loss_is_equation_two(count):
    generator = torch.Generator().manual_seed(count)
    predicted, actual = torch.randn(2, count, generator=generator).unbind()
    assert float(ranking_loss(predicted, actual, 0.7)) == pytest.approx(by_hand(predicted, actual, 0.7), rel=1e-5)


def test_without_a_pair_the_loss_is_a_zero_that_carries_a_gradient():
    predicted = torch.ones(1, requires_grad=True)
    loss = ranking_loss(predicted, torch.ones(1))
    loss.backward()
    assert float(loss.detach()) == 0
    assert float(predicted.grad) == 0


def test_a_tie_costs_the_margin_and_pulls_nowhere():
    predicted = torch.tensor([3.0, 1.0], requires_grad=True)
    loss = ranking_loss(predicted, torch.ones(2))
    loss.backward()
    assert float(loss.detach()) == 1
    assert predicted.grad.tolist() == [0, 0]


def test_the_true_losses_get_no_gradient_from_the_ranking():
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    total_loss(losses, torch.tensor([5.0, 0.0], requires_grad=True), weight=2.0, margin=1.0).backward()
    assert losses.grad.tolist() == [0.5, 0.5]


def test_total_loss_is_equation_three():
    losses, predicted = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.5])
    assert float(total_loss(losses, predicted, 2.0, 1.0)) == pytest.approx(2.0 + 2.0 * 0.5)
    assert float(total_loss(losses, predicted, 0.0, 1.0)) == pytest.approx(2.0)


def test_the_head_gives_one_float32_per_image_also_under_autocast():
    head = LossHead([4, 8])
    maps = [torch.randn(3, 4, 5, 6), torch.randn(3, 8, 2, 2)]
    plain = head(maps)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = head(maps)
    assert plain.shape == (3,)
    assert mixed.dtype == torch.float32
    assert torch.equal(plain, mixed)


def test_the_head_learns_to_rank():
    torch.manual_seed(0)
    head = LossHead([3])
    maps = torch.rand(32, 3, 4, 4)
    actual = maps[:, 0].mean(dim=(1, 2)) * 10
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(200):
        shuffled = torch.randperm(32)
        loss = ranking_loss(head([maps[shuffled]]), actual[shuffled])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    correlation = torch.corrcoef(torch.stack([head([maps]).detach(), actual]))[0, 1]
    assert correlation > 0.9


@pytest.mark.parametrize("count", [2, 3, 7, 16])
def test_all_pairs_count_by_how_far_their_true_ranks_are_apart(count):
    generator = torch.Generator().manual_seed(count)
    predicted, actual = torch.randn(2, count, generator=generator).unbind()
    ranks = actual.argsort().argsort().tolist()
    total = weights = 0.0
    for i in range(count):
        for j in range(i):
            sign = 1 if actual[i] > actual[j] else -1
            weight = abs(ranks[i] - ranks[j])
            total += weight * max(0.0, 0.1 - sign * float(predicted[i] - predicted[j]))
            weights += weight
    assert float(all_pairs_loss(predicted, actual)) == pytest.approx(total / weights, rel=1e-5)


def test_without_two_different_losses_all_pairs_cost_nothing_and_carry_a_gradient():
    for count in (1, 3):
        predicted = torch.arange(count, dtype=torch.float32, requires_grad=True)
        loss = all_pairs_loss(predicted, torch.ones(count))
        loss.backward()
        assert float(loss.detach()) == 0
        assert predicted.grad.tolist() == [0] * count


def test_a_right_order_with_the_margin_costs_nothing_and_a_wrong_one_something():
    actual = torch.tensor([1.0, 2.0, 3.0])
    assert float(all_pairs_loss(actual / 5, actual)) == 0
    assert float(all_pairs_loss(-actual, actual)) > 1
    assert float(form_loss("detached", actual / 5, actual, margin=1.0)) == 0
    assert float(form_loss("published", actual / 5, actual, margin=1.0)) == pytest.approx(0.6)
