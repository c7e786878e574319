"""What was found with the campaign of benchmarks/faults.py, and tests that would find it again."""

_SHORT = "tests/test_faults.py::test_"
_TRAINING = "tests/deeplab_tf/training/test_"

# (what was wrong, path::name of a test)
MENDED = (
    (
        "a killed export, evaluate or predict left temporary folders that nothing deleted",
        f"{_SHORT}a_kill_before_any_call_leaves_whole_results_and_the_next_run_cleans_up",
    ),
    (
        "--overwrite, killed between two renames, left neither the old folder nor the new one",
        f"{_SHORT}a_kill_before_any_call_leaves_whole_results_and_the_next_run_cleans_up",
    ),
    (
        "an OpenVINO export, killed between its two files, left new weights with an old network",
        f"{_SHORT}a_kill_before_any_call_leaves_whole_results_and_the_next_run_cleans_up",
    ),
    (
        "two processes that wrote the same file used the same temporary file",
        "tests/deeplab_tf/test_files.py::test_two_writers_of_a_file_do_not_meet",
    ),
    (
        "predictions whose folder was moved were written on in a new one, and half of them taken "
        "for all",
        f"{_SHORT}a_folder_taken_away_between_any_two_calls_is_not_taken_for_whole",
    ),
    (
        "a full disk was an error without a place, and others named temporary files",
        f"{_SHORT}an_error_names_the_result_and_not_its_temporary_file",
    ),
    (
        "after the clock was set back, the curves kept points of a killed training",
        f"{_TRAINING}summaries.py::test_a_restart_after_the_clock_was_set_back_replaces_them_too",
    ),
    (
        "a checkpoint whose deletion was cut off by a kill was never deleted",
        f"{_TRAINING}checkpoints.py::test_what_a_kill_left_of_earlier_checkpoints_is_deleted",
    ),
    (
        "a training whose folder was taken away made it again, without the files before",
        f"{_TRAINING}loop.py::test_a_folder_that_goes_away_is_one_line_and_not_made_again",
    ),
    (
        "two searches of CRF parameters in one folder replaced each other's scores",
        "tests/deeplab_tf/commands/test_search_crf.py::"
        "test_a_second_search_in_the_same_folder_is_refused",
    ),
    (
        "too little memory was a stack trace",
        "tests/deeplab_tf/commands/test_app.py::test_errors_of_the_user_are_one_line",
    ),
)
