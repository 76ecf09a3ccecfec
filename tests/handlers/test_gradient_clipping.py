import pytest
import torch
from monai.engines import SupervisedTrainer

from bundle.handlers.gradient_clipping import GradientClipping


@pytest.mark.parametrize("max_norm", [0.5, None])
def test_the_optimizer_steps_with_gradients_of_the_given_norm_at_most(max_norm):
    network = torch.nn.Linear(3, 1)
    norms = []

    class Watching(torch.optim.SGD):
        def step(self, closure=None):
            norms.append(torch.cat([p.grad.flatten() for p in network.parameters()]).norm().item())

    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.full((2, 3), 100.0), "label": torch.zeros(2, 1)}],
        network=network,
        optimizer=Watching(network.parameters(), lr=0.1),
        loss_function=torch.nn.MSELoss(),
        train_handlers=[GradientClipping(network, max_norm=max_norm)],
    )
    trainer.run()
    assert norms == pytest.approx([0.5], rel=1e-3) if max_norm else norms[0] > 100
