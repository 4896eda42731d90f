"""Makes src/talkoot/demo/covtype.parquet, the demo's sample, from the full Covertype table.

python tools/demo_data.py path/to/covtype.csv.xz [out.parquet]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HOME = Path(__file__).parents[1] / "src" / "talkoot" / "demo" / "covtype.parquet"
ROWS, SEED = 11_000, 7
AREAS = ("Rawah", "Neota", "Comanche Peak", "Cache la Poudre")
COVERS = (
    "Spruce/Fir",
    "Lodgepole Pine",
    "Ponderosa Pine",
    "Cottonwood/Willow",
    "Aspen",
    "Douglas-fir",
    "Krummholz",
)
COLUMNS = {
    "Elevation": "elevation",
    "Aspect": "aspect",
    "Slope": "slope",
    "Horizontal_Distance_To_Hydrology": "distance_to_water",
    "Vertical_Distance_To_Hydrology": "height_above_water",
    "Horizontal_Distance_To_Roadways": "distance_to_road",
    "Horizontal_Distance_To_Fire_Points": "distance_to_fire",
    "Hillshade_9am": "hillshade_9am",
    "Hillshade_Noon": "hillshade_noon",
    "Hillshade_3pm": "hillshade_3pm",
}


def sample(full: pd.DataFrame) -> pd.DataFrame:
    """Rows of every area, as many as the square root of its size allots, in the order of the full table."""
    area = full[[f"Wilderness_Area{i}" for i in range(1, 5)]].to_numpy().argmax(axis=1)
    sizes = np.sqrt(np.bincount(area))
    counts = np.round(ROWS * sizes / sizes.sum()).astype(int)
    rng = np.random.default_rng(SEED)
    picked = [np.sort(rng.choice(np.flatnonzero(area == i), n, replace=False)) for i, n in enumerate(counts)]
    rows = np.concatenate(picked)
    taken = full.iloc[rows][list(COLUMNS)].rename(columns=COLUMNS).astype("int16")
    for name in ("hillshade_9am", "hillshade_noon", "hillshade_3pm"):
        taken[name] = taken[name].astype("uint8")
    taken["area"] = np.array(AREAS)[area[rows]]
    taken["cover"] = np.array(COVERS)[full["Cover_Type"].to_numpy()[rows] - 1]
    return taken


def main(source: str = "covtype.csv.xz", out: str = str(HOME)) -> None:
    """Read, sample, write."""
    if not Path(source).is_file():
        sys.exit(f"{source} is not there; covtype.csv comes from UCI, data set 31. Nothing was changed.")
    table = pa.Table.from_pandas(sample(pd.read_csv(source)), preserve_index=False).replace_schema_metadata()
    pq.write_table(table, out, compression="zstd", compression_level=19)
    print(f"{out}: {table.num_rows} rows, {Path(out).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:3])
