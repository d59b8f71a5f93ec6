<?php
echo "started\n";
ob_end_flush();
flush();
do {
    usleep(50000);
    clearstatcache();
} while (file_exists("/srv/work/hold"));
echo "finished\n";
