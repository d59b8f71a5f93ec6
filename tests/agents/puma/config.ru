body = Enumerator.new do |lines|
  lines << "started\n"
  sleep 0.05 while File.exist?("/srv/work/hold")
  lines << "finished\n"
end

run ->(_) { [200, { "Content-Type" => "text/plain" }, body.each_entry] }
