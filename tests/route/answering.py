"""A model server as a process: `python answering.py PORT NAME`; `POST /mode` sets the numbers that it answers."""

import asyncio
import sys

from upstream import Server  # type: ignore[import-not-found]


class Model(Server):  # type: ignore[misc]
    """Answers `{"y": data}` with the numbers of its mode; status and delay are those of `upstream`."""

    async def answer(self, head: str, body: bytes) -> tuple[int, object]:
        status, answer = await super().answer(head, body)
        if head.split(" ")[1].endswith("/infer") and status == 200:
            data = self.mode.get("data", [0.1, 0.9])
            return 200, {"model_name": self.name, "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, len(data)], "data": data}]}
        return status, answer


async def main() -> None:
    Model.name = sys.argv[2]
    server = await asyncio.get_running_loop().create_server(Model, "127.0.0.1", int(sys.argv[1]))
    print("listening", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
