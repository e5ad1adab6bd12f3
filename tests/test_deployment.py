"""Recipes of the deployment page, run as they are written there."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socketserver
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import dask.array as da
import numpy as np
import pytest

from daskml_kit.engines import open as opening
from daskml_kit.linear_model import LogisticRegression

PAGE = Path(__file__).parents[1] / "docs" / "deployment.md"
SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
SMALLER = {'"n_workers": 2': '"n_workers": 1', '":8787"': '":0"', '"4GB"': '"1GB"'}
"""What the recipe has that a busy machine may not: two workers a host, a certain port, memory."""


def recipe(title: str) -> str:
    """Return the first block of Python code in a section of the page."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text().partition(f"\n## {title}\n")[2], re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def ssh_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hosts ``head``, ``node1`` and ``node2``: all this machine's sshd, with keys of its own, at any port."""
    pytest.importorskip("asyncssh")
    if not os.access(SSHD, os.X_OK) or not shutil.which("ssh-keygen"):
        pytest.skip("there is no sshd")
    home = tmp_path / ".ssh"
    home.mkdir(mode=0o700)
    for name in ("host", "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    server = home / "sshd_config"
    server.write_text(
        f"HostKey {home}/host\nAuthorizedKeysFile {home}/id_ed25519.pub\nStrictModes no\nPasswordAuthentication no\n"
    )
    tried = subprocess.run([SSHD, "-t", "-f", server], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"sshd does not start: {tried.stderr.strip()}")

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            own = {"stdin": self.request, "stdout": self.request, "stderr": subprocess.DEVNULL}
            subprocess.run([SSHD, "-i", "-e", "-f", server], **own)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection) as listener:
        port = listener.server_address[1]
        (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {(home / 'host.pub').read_text()}")
        (home / "config").write_text(
            f"Host head node1 node2\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        )
        monkeypatch.setenv("HOME", str(tmp_path))
        Thread(target=listener.serve_forever, daemon=True).start()
        yield
        listener.shutdown()


@pytest.mark.slow
def test_ssh_cluster_of_the_page_fits(ssh_hosts, monkeypatch):
    monkeypatch.setattr(opening, "LOCAL_BYTES", 0)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000, 3))
    X, y = da.from_array(X, chunks=(250, 3)), da.from_array((X[:, 0] > rng.normal(size=2_000)).astype(int), chunks=250)
    here = LogisticRegression().fit(X, y)
    code = recipe("Several machines by SSH")
    for shown, small in SMALLER.items():
        assert shown in code
        code = code.replace(shown, small)
    names: dict[str, object] = {}
    exec(code, names)
    client = names["client"]
    try:
        client.wait_for_workers(2)
        there = LogisticRegression().fit(*client.persist([X, y]))
        assert "worker" in there.profile_.where
        np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-9)  # BLAS may have other kernels in other shells
    finally:
        client.close()
        names["cluster"].close()
