"""Does the service keep to its own OpenAPI description, whatever is asked? Asked by schemathesis."""

import subprocess
import sys
from pathlib import Path

import pytest
from app.served import FAST, serving

# That a photo can be read is more than a schema can say: most that fit it are refused.
UNKNOWABLE = "positive_data_acceptance"


@pytest.mark.slow
def test_the_service_keeps_to_its_description(tmp_path: Path):
    with serving(FAST, "cifar10") as server:
        schemathesis = Path(sys.executable).with_name("schemathesis")
        command = [schemathesis, "run", f"{server.address}/openapi.json", "--no-color"]
        options = ["--max-examples", "20", "--seed", "1", "--exclude-checks", UNKNOWABLE]
        found = subprocess.run([*command, *options], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert found.returncode == 0, found.stdout
        assert "3 selected / 3 total" in found.stdout
        assert server.get("/health") == (200, {"status": "ok"})
