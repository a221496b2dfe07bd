"""Serve a small student over OpenAI's API: python -m score.serving --model output/student --port 8101"""

import argparse
import os
import sys

from score.errors import SettingsError


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m score.serving",
        description="Serve a small Hugging Face causal LM on the CPU over OpenAI's chat-completions API.",
        epilog="example:\n  python -m score.serving --model output/miniature/bc --port 8101",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, metavar="DIR", help="folder of the model and its tokenizer")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--model-name", default="student", help="the name reported to clients (default: student)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    parser.add_argument("--max-batch", type=int, default=128, help="requests computed at once (default: 128)")
    parser.add_argument("--api-key-env", metavar="NAME", help="the variable that holds the API key clients must send")
    arguments = parser.parse_args()

    api_key = None
    if arguments.api_key_env is not None:
        api_key = os.environ.get(arguments.api_key_env)
        if not api_key:
            raise SettingsError(f"--api-key-env names {arguments.api_key_env}, which is not set: export it first")

    # Imported late: --help should not wait for torch.
    import torch
    import uvicorn

    from score.serving.server import Student, create_app

    torch.set_num_threads(arguments.threads)
    # The token loop gives up the interpreter lock at every tensor operation. With Python's default of 5 ms it would
    # wait that long to get it back whenever HTTP is being served.
    sys.setswitchinterval(2e-4)
    student = Student.load(arguments.model, arguments.model_name, arguments.max_batch)
    app = create_app(student, api_key)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning", access_log=False, backlog=2048)
    return 0


if __name__ == "__main__":
    from score.cli import run

    run(main)
