"""What is wrong with a URL is said in one sentence, before anything is computed."""

import json

import pytest
import s3fs

from neq.errors import ConfigError, StoreError
from workflows import config
from workflows.remote import catch_up, fetch, lease
from workflows.remote.place import Place


def run(arguments, capsys):
    """Give a command; return exit code and its last line on stderr."""
    from workflows import cli

    with pytest.raises(SystemExit) as ended:
        cli.app(list(map(str, arguments)), prog_name="neq")
    return ended.value.code, capsys.readouterr().err.strip()


def refused(config_file, capsys, *overrides):
    words = [word for text in overrides for word in ("--set", text)]
    code, said = run(["run", config_file, *words], capsys)
    assert code == 2
    assert len(said.splitlines()) == 1
    return said


def test_run__missing_bucket(config_at, capsys, tmp_path):
    said = refused(config_at(), capsys, "results=s3://no-such-bucket/demo")
    assert said == "neq: s3://no-such-bucket/demo: there is no bucket no-such-bucket: make it, neq makes none."
    assert not (tmp_path / "work").exists()


def test_run__no_credentials(config_at, capsys, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    assert "no credentials were found" in refused(config_at(), capsys)


def test_run__no_permission(config_at, capsys, place_of_own):
    bucket = place_of_own.split("/")[2]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.call_s3("put_bucket_policy", Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    assert "permission denied" in refused(config_at(), capsys)


def test_run__server_not_reachable(config_at, capsys, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    said = refused(config_at(), capsys)
    assert "the server cannot be reached" in said
    assert "AWS_ENDPOINT_URL is http://127.0.0.1:9" in said


def test_run__missing_package(config_at, capsys):
    import importlib.util

    if importlib.util.find_spec("gcsfs"):
        pytest.skip("gcsfs is installed")
    said = refused(config_at(), capsys, "results=gs://bucket/demo")
    assert (
        said == "neq: gs://bucket/demo: gs:// needs the package gcsfs, which is not installed: pip install 'neq[gs]'."
    )


def test_run__unknown_protocol(config_at, capsys):
    assert "fsspec cannot open zz:// here" in refused(config_at(), capsys, "results=zz://bucket/demo")


def test_run__second_driver(config_at, capsys, place_of_own):
    with lease.acquire(Place(place_of_own), "elsewhere"):
        assert f"{place_of_own} is in use: process" in refused(config_at(), capsys)


def test_run__work_folder_of_another_url(config_at, capsys, tmp_path):
    catch_up.note(tmp_path / "work", Place("s3://other/demo"), 1)
    said = refused(config_at(), capsys)
    assert f"The work folder {tmp_path / 'work'} belongs to s3://other/demo, not to s3://" in said
    assert "--set work=FOLDER" in said


def test_run__spoilt_mark(config_at, capsys, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "remote.json").write_text("{")
    assert "which names the URL of the copy, cannot be read" in refused(config_at(), capsys)


def test_config__url_and_work_folder(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("study: toy_study:Toy\nresults: s3://bucket/lab/demo/\n")
    loaded = config.load(path)
    assert (loaded.url, loaded.run_folder.as_posix()) == ("s3://bucket/lab/demo", "results/demo")
    assert config.load(path, ["work=/scratch/x"]).run_folder.as_posix() == "/scratch/x"
    assert "results" not in config.science(loaded)
    assert "work" not in config.science(loaded)
    plain = config.load(path, ["results=results/demo"])
    assert (plain.url, plain.run_folder.as_posix()) == ("", "results/demo")
    assert config.load(path, ["results=file:///tmp/demo"]).url == ""


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("results=s3://bucket", "results: expected a folder within the bucket, such as s3://bucket/lab/demo"),
        ("results=[1]", r"results: expected a folder, or a URL such as s3://bucket/lab/demo, found \[1\]"),
    ],
)
def test_config__results_that_are_none(tmp_path, override, message):
    path = tmp_path / "a.yaml"
    path.write_text("study: toy_study:Toy\n")
    with pytest.raises(ConfigError, match=message):
        config.load(path, [override])


def test_config__work_beside_a_folder(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("study: toy_study:Toy\nresults: here\nwork: there\n")
    with pytest.raises(
        ConfigError, match="work: it goes with a URL in results, which is the folder here: leave it out"
    ):
        config.load(path)


@pytest.mark.parametrize(
    "command", [["figures"], ["report"], ["verify"], ["doctor"], ["freeze"], ["rerun", "--failed"]]
)
def test_other_commands__name_fetch(command, capsys):
    code, said = run([*command, "s3://bucket/lab/demo"], capsys)
    assert code == 2
    assert "found s3://bucket/lab/demo: `neq fetch s3://bucket/lab/demo` first" in said


def test_merge__names_fetch(capsys, tmp_path):
    code, said = run(["merge", tmp_path, "s3://bucket/demo", "--into", tmp_path / "b"], capsys)
    assert (code, "`neq fetch s3://bucket/demo` first" in said) == (2, True)


def test_fetch_and_status__nothing_there(place_of_own, capsys, tmp_path):
    for arguments in (["status", place_of_own], ["status", "--watch", place_of_own], ["fetch", str(tmp_path)]):
        assert run(arguments, capsys)[0] == 2
    with pytest.raises(StoreError, match=f"There is no run at {place_of_own}"):
        fetch.whole(Place(place_of_own), tmp_path)
    code, said = run(["fetch", place_of_own, tmp_path / "new"], capsys)
    assert (code, f"There is no run at {place_of_own}" in said) == (2, True)
    assert not (tmp_path / "new").exists()
