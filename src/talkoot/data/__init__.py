"""Sources of rows and samples, and the common schema of the nodes (round 0).

`tables/`: rows; `samples/`: single samples; `loading/`: batches of samples; `contract/`: do the nodes agree.
May import core only; no learner, no engine.
"""
