"""Make a folder that belongs to this process, print it, and keep it until a line is read."""

from storage.owned_folders import make_folder

if __name__ == "__main__":
    print(make_folder("ms-test-"), flush=True)
    input()
