"""Print what the standard library's `platform` says of this machine, by the module that is also ours."""

import platform
import platform.events

if __name__ == "__main__":
    print(platform.system(), platform.python_version())
    assert platform.events.__name__ == "platform.events"
