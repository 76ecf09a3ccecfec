"""What MONAI's trainers and evaluators are given: batches, inferers, the optimizer."""
