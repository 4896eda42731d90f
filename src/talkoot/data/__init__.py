"""Where rows and samples come from, and the schema and targets that nodes agree on (round 0).

`tables/`: rows; `samples/`: samples one by one; `loading/`: which samples when; `contract/`: do nodes agree.
May import core alone; no learner, no engine.
"""
