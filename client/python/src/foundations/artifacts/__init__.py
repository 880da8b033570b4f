"""Files that a run leaves, and folders that it shares with others."""

from foundations._artifacts import save_artifact as save_artifact
from foundations._syncable import SyncableDirectory as SyncableDirectory
from foundations._syncable import create_syncable_directory as create_syncable_directory

__all__ = ["SyncableDirectory", "create_syncable_directory", "save_artifact"]
